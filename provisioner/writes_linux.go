package provisioner

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// writes tells of each write to a file of a directory, of several at once perhaps
// only once, until the returned function is called. The file need not be there.
func writes(dir, name string) (<-chan struct{}, func(), error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("provisioner: inotify: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("provisioner: watch %s: %w", dir, err)
	}
	written, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		for events := make([]byte, 4<<10); ; {
			n, err := f.Read(events)
			if err != nil {
				return // closed
			}
			if !bytes.Contains(events[:n], []byte(name+"\x00")) {
				continue // names in events end so
			}
			select {
			case written <- struct{}{}:
			default:
			}
		}
	}()
	return written, func() {
		f.Close()
		<-done
	}, nil
}
