package davsrv

func victim(string) {}
