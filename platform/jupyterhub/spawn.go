package jupyterhub

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SpawnProgram starts people's servers under user ids of their own.
const SpawnProgram = "mesh-spawn"

// spawnCapabilities are all the rights that it has beyond its caller's.
var spawnCapabilities = []uint{unix.CAP_CHOWN, unix.CAP_KILL, unix.CAP_SETGID, unix.CAP_SETUID}

// Arm gives the program at path its file capabilities; only root can. It belongs
// to root, and nobody but the group gid may run it.
func Arm(path string, gid uint32) error {
	// A change of the owner takes the capabilities away, so they come last.
	if err := os.Chown(path, 0, int(gid)); err != nil {
		return fmt.Errorf("arm %s: %w", SpawnProgram, err)
	}
	if err := os.Chmod(path, 0o750); err != nil {
		return fmt.Errorf("arm %s: %w", SpawnProgram, err)
	}
	var permitted uint32
	for _, c := range spawnCapabilities {
		permitted |= 1 << c
	}
	// struct vfs_cap_data, revision 2: a header, then permitted and inheritable
	// twice, low half first.
	const revision2, effective = 0x02000000, 1
	var data []byte
	for _, word := range []uint32{revision2 | effective, permitted, 0, 0, 0} {
		data = binary.LittleEndian.AppendUint32(data, word)
	}
	if err := unix.Setxattr(path, "security.capability", data, 0); err != nil {
		return fmt.Errorf("arm %s: file capabilities: %w", SpawnProgram, err)
	}
	return nil
}
