#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# clang-format, cppcheck, a build with warnings as errors, manuals and the systemd unit.
# Prints one line per check, 'ok' or 'FAIL', and fails if any did.
set -u
cd "$(dirname "$0")/.."
mkdir -p build/lint
failed=0

result() { # NAME STATUS LOG
    if [ "$2" = 0 ]; then
        echo "ok    $1"
    else
        echo "FAIL  $1"
        sed -n '1,40p' "$3"
        failed=1
    fi
}

sources=$(git ls-files '*.c' '*.h' 2>/dev/null || find include shm pmd cli traffic bench tests -name '*.[ch]')

# shellcheck disable=SC2086 # one word per file
clang-format --dry-run -Werror $sources >build/lint/format.log 2>&1
result 'clang-format: the sources have the agreed form' $? build/lint/format.log

# shellcheck disable=SC2046
cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
    --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=normalCheckLevelMaxBranches \
    -j 2 -Iinclude -Ishm $(echo $sources | tr ' ' '\n' | grep -E '^(shm|cli|include)/') >build/lint/cppcheck.log 2>&1
result 'cppcheck: nothing found in shm and cli' $? build/lint/cppcheck.log

openvswitch=
[ ! -e build/openvswitch/.version ] || openvswitch=$PWD/build/openvswitch
{
    [ -e build/lint/werror/build.ninja ] ||
        meson setup build/lint/werror -Dwerror=true -Ddriver_headers="$PWD/build/dpdk-driver-headers" \
            ${openvswitch:+"-Dopenvswitch=$openvswitch"}
} >build/lint/werror.log 2>&1 && ninja -C build/lint/werror >>build/lint/werror.log 2>&1
result 'compiler: no warnings' $? build/lint/werror.log

setup/lint_manuals.py >build/lint/manuals.log 2>&1
result 'manuals: well-formed, and all that the code knows is in them' $? build/lint/manuals.log

setup/lint_unit.sh >build/lint/unit.log 2>&1
result 'unit: well-formed, and as confined as highwayd(8) says' $? build/lint/unit.log

long=$(wc -l $sources | awk '$2 != "total" && $1 > 1000 { print $2 ": " $1 " lines" }')
echo "$long" >build/lint/long.log
[ -z "$long" ]
result 'size: no source file above 1,000 lines' $? build/lint/long.log
exit $failed
