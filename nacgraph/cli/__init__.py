"""The commands of `nacgraph`, one thin file each."""
