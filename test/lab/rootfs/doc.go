// Package rootfs makes what the lab's guests boot from and install from: a base
// root file system and a small apt repository. Both are built outside the seal,
// from the mirror that the machine itself uses, and cached by content: the
// same package list, files and suite in the same ISO week are built once.
package rootfs
