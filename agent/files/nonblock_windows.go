package files

// nonblock is for pipes in the file system, which Windows has not.
const nonblock = 0
