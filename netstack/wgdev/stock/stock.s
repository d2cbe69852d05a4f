// The compiler lets a function have its body elsewhere only in a package with a
// file of assembly.
