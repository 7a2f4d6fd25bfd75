// Package namespace maps keys to paths and back. It is pure: it asks no store,
// keeps no state and fails only on names and keys that are too long.
//
// A key is a path: its components stand between its slashes. The names that the
// mount shows are a format, as final as one on disk: scripts, archives and
// other hosts keep them. DESIGN.md in this folder specifies it, with a table of
// every corner; testdata/paths.golden holds it in place.
//
// Contract:
//
//   - In every directory, every pair and every sub-directory has one name, no
//     two have the same, and the name finds it again.
//   - Every name that the kernel may send (1 to 1024 bytes, no slash, no NUL,
//     neither "." nor "..") stands for one thing, whether or not it exists.
//     What an application creates under a name is listed under that name.
//     Excepted are the names of virtual directories, and "%" below the root for
//     anything but a directory: they are refused (ErrReserved).
//   - A name without '%' is its own component and costs nothing to look up.
//
// What a name stands for can depend on one question to the store (a Rival):
// whether another component is a pair and a directory at once, or whether the
// directory's marker has a value. Lookup and Rival name the question, the
// caller asks it.
package namespace
