package memory

import "testing"

func TestLimitIsTheTightestAround(t *testing.T) {
	const info = "MemTotal:         524288 kB\nMemFree:          100000 kB\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing is known": {nil, 0},
		"the machine":      {map[string]string{"/proc/meminfo": info}, 512 << 20},
		"its own group": {map[string]string{
			"/proc/meminfo": info, "/proc/self/cgroup": "0::/system.slice/pic.service\n",
			"/sys/fs/cgroup/system.slice/pic.service/memory.max": "134217728\n",
		}, 128 << 20},
		"a group above": {map[string]string{
			"/proc/meminfo": info, "/proc/self/cgroup": "1:name=systemd:/x\n0::/a/b\n",
			"/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/memory.high": "67108864\n",
		}, 64 << 20},
		"the root of a container": {map[string]string{
			"/proc/meminfo": info, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "268435456\n",
		}, 256 << 20},
		"a group that may use more than there is": {map[string]string{
			"/proc/meminfo": info, "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/memory.max": "68719476736\n",
		}, 512 << 20},
		"nonsense": {map[string]string{
			"/proc/meminfo": "MemTotal: lots kB\nMemTotal: 9999999999999999 kB\n", "/proc/self/cgroup": "0::a\n0:/\n",
		}, 0},
	} {
		if got := limit(func(name string) string { return tt.files[name] }); got != tt.want {
			t.Errorf("%s: %d bytes, not %d", name, got, tt.want)
		}
	}
	if Limit() < 16<<20 {
		t.Errorf("this machine has %d bytes", Limit())
	}
}
