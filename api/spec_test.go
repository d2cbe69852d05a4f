package api

import (
	"bytes"
	"os"
	"testing"
)

// The UI's types are made from the file, so it must be that of the code.
func TestOpenAPIFileIsFresh(t *testing.T) {
	want, err := Spec()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("openapi.json is stale; run make gen")
	}
}
