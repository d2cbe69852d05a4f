package netstack

// SetReadBuffer asks the tunnel for a receive buffer of n bytes, as QUIC does,
// and takes what it gives.
func (v *virtualUDP) SetReadBuffer(n int) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c, ok := v.udp.(interface{ SetReadBuffer(int) error }); ok {
		_ = c.SetReadBuffer(n) // a wish
	}
	return nil
}

// SetWriteBuffer is [virtualUDP.SetReadBuffer] for what is sent.
func (v *virtualUDP) SetWriteBuffer(n int) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c, ok := v.udp.(interface{ SetWriteBuffer(int) error }); ok {
		_ = c.SetWriteBuffer(n)
	}
	return nil
}
