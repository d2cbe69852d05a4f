package policy

import (
	"net/netip"
	"reflect"
	"testing"
)

// Rules that differ anywhere are told from each other: the comparison names each
// field, and one that is added to a type must be added to it.
func TestRulesDifferInEveryField(t *testing.T) {
	var walk func(path string, at func(*Rules) reflect.Value)
	walk = func(path string, at func(*Rules) reflect.Value) {
		var a, b Rules
		fill(reflect.ValueOf(&a).Elem())
		fill(reflect.ValueOf(&b).Elem())
		v := at(&b)
		switch {
		case v.Kind() == reflect.Slice:
			walk(path+"[0]", func(r *Rules) reflect.Value { return at(r).Index(0) })
			v.SetLen(0)
		case v.Kind() == reflect.Struct && v.Type().PkgPath() == reflect.TypeFor[Rules]().PkgPath():
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, func(r *Rules) reflect.Value { return at(r).Field(i) })
			}
			return
		default:
			v.SetZero()
		}
		if !New(a).Same(New(a)) || New(a).Same(New(b)) {
			t.Errorf("%s makes no difference", path)
		}
	}
	walk("Rules", func(r *Rules) reflect.Value { return reflect.ValueOf(r).Elem() })
}

// fill gives everything within v a value that is not zero.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("10.0.0.1")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/8")))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetUint(7)
	}
}
