// Package fw is the cell's packet filter and NAT: one nftables table, `inet pic`.
//
// [Compile] writes a [Model], plain data, down as a [Table]; it is pure, and golden
// files show what comes out in nft's own language. A [Firewall] makes a table the
// kernel's, in one transaction, so that there is at no moment none, or half of
// one; what differs in elements alone goes as elements. It reads back how many of
// them the kernel has, counts hits, and ends connections whose right is gone.
//
// The rules say what package policy decides, and a test holds the two together.
// Tables of others are read to find what drops our packets, and never written.
// What the host sends itself is not filtered, but for TCP into the tunnel that
// belongs to no open connection.
package fw
