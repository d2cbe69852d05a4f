package vault

import (
	"fmt"
	"log/slog"
)

// A Value is a secret on its way through the program. However it is printed,
// logged or marshalled, it does not show; convert it to []byte to use it.
type Value []byte

const veiled = "[secret]"

func (Value) String() string                { return veiled }
func (Value) GoString() string              { return veiled }
func (Value) LogValue() slog.Value          { return slog.StringValue(veiled) }
func (Value) MarshalText() ([]byte, error)  { return []byte(veiled), nil }
func (Value) Format(s fmt.State, verb rune) { fmt.Fprint(s, veiled) }
