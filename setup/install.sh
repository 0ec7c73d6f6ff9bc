#!/bin/sh
# Installs the Debian packages of the named groups (see setup/packages) that are
# not there yet, without starting, stopping or re-pointing a system service.
#
#   setup/install.sh GROUP...
#
# Open vSwitch's packages start a daemon when they are installed; a policy-rc.d
# that says "no" stands in the way for as long as apt runs.  Where an Open vSwitch
# is installed already, openvswitch-switch-dpdk would become the default
# 'ovs-vswitchd' alternative: the choice that was in force is put back.
set -eu
cd "$(dirname "$0")/.."

missing=
for group in "$@"; do
    for package in $(sed -n "s/^$group //p" setup/packages); do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || :)
        [ "$state" = installed ] || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0

[ "$(id -u)" = 0 ] || {
    echo "run: packages are missing ($missing ) and only root can install them: use sudo" >&2
    exit 1
}

policy=/usr/sbin/policy-rc.d
saved=
alternative=$(readlink /etc/alternatives/ovs-vswitchd 2>/dev/null || :)
restore() {
    trap - EXIT INT TERM
    if [ -n "$saved" ]; then
        mv -f "$saved" $policy
    elif grep -qs 'highway: no service starts' $policy; then
        rm -f $policy
    fi
    now=$(readlink /etc/alternatives/ovs-vswitchd 2>/dev/null || :)
    if [ -n "$alternative" ] && [ "$alternative" != "$now" ]; then
        update-alternatives --set ovs-vswitchd "$alternative"
    fi
}
trap restore EXIT
trap 'exit 130' INT TERM
if [ -e $policy ] && ! grep -qs 'highway: no service starts' $policy; then
    saved=$policy.highway-saved
    mv $policy $saved
fi
printf '#!/bin/sh\n# highway: no service starts while packages are installed\nexit 101\n' >$policy
chmod 755 $policy

echo "run: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=build/install.log
mkdir -p build
# shellcheck disable=SC2086 # one word per package
if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >$log 2>&1; then
    tail -n 20 $log >&2
    echo "run: apt could not install$missing: see $log" >&2
    exit 1
fi
