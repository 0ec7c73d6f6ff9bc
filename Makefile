# SPDX-License-Identifier: BSD-3-Clause
# All of it is in ./run; this only passes on.
all: build
build demo demo-vm check check-vm check-detector bench lint deb clean:
	./run $@
.PHONY: all build demo demo-vm check check-vm check-detector bench lint deb clean
