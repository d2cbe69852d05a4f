// Package archtest keeps the rules of the house as tests: who may import whom,
// that every package says what it is for, and that files stay short. It has no
// code of its own.
package archtest
