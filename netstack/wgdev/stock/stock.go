// Package stock opens two functions of wireguard-go's tun package to the tests
// of wgdev, which compare their own with them. Nothing else imports it.
package stock

import (
	_ "unsafe" // for linkname

	_ "golang.zx2c4.com/wireguard/tun" // the functions
)

// Split is how wireguard-go cuts what the kernel hands over, its header first.
//
//go:linkname Split golang.zx2c4.com/wireguard/tun.handleVirtioRead
func Split(in []byte, bufs [][]byte, sizes []int, offset int) (int, error)
