#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Checks the protocol models with spin.
#
#   check.sh [BUILD_DIR [deep]]
#
# BUILD_DIR (default: build/model) takes the generated verifiers.  With 'deep', larger
# sizes are explored too (several minutes, up to 6 GB).  One line is printed per check:
#
#   ok|FAIL  name  states
#
# A check passes if spin explores everything without an error.  The checks in capitals
# break one rule of the protocol, and pass if spin finds a counter-example.

here=$(cd "$(dirname "$0")" && pwd) || exit 2
build=${1:-build/model}
deep=${2:-}
passed=0
failed=0
skipped=0

for tool in spin cc; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "skipped: $tool not found"
        echo "0 passed, 0 failed, 1 skipped"
        exit 0
    fi
done

mkdir -p "$build" && cd "$build" || exit 2

# explore KIND MODEL NAME [-D...]
#
# KIND: holds (no error may be found), breaks (an assertion must be violated), lives
# (no fair cycle that never reaches the goal may be found).
explore() {
    kind=$1 model=$2 name=$3
    shift 3
    dir=$model-$name
    rm -rf "$dir" && mkdir "$dir" || exit 2
    options='-O1 -DSAFETY' run=-w22
    if [ "$kind" = lives ]; then
        options='-O1 -DNFAIR=3'
        run='-a -f -w22'
        set -- "$@" -DLIVE
    fi
    case $name in
    deep*) options="$options -O2 -DCOLLAPSE" ;;
    esac
    # shellcheck disable=SC2086  # the options are lists of words
    (
        cd "$dir" || exit
        spin -a "$@" "$here/$model.pml" >spin.log 2>&1 &&
            cc -w $options -DMEMLIM=6000 -o pan pan.c >cc.log 2>&1 &&
            timeout 600 ./pan $run -m1000000 >pan.log 2>&1
    )
    states=$(awk '/states, stored/ { printf "%d", $1; exit }' "$dir/pan.log" 2>/dev/null)
    result=FAIL
    case $kind in
    breaks)
        grep -q '^pan:1: assertion violated' "$dir/pan.log" 2>/dev/null && result=ok
        ;;
    *)
        grep -q 'errors: 0$' "$dir/pan.log" 2>/dev/null &&
            ! grep -Eq 'Search not completed|too small|out of memory' "$dir/pan.log" &&
            result=ok
        ;;
    esac
    if [ $result = ok ]; then
        passed=$((passed + 1))
        rm -f "$dir"/pan "$dir"/pan.?
    else
        failed=$((failed + 1))
    fi
    printf '%-4s  %-36s  %s\n' $result "$model: $name" "${states:-see $build/$dir}"
}

explore holds  switchover all-rules      -DN=2 -DK=2
explore holds  switchover bursts         -DN=2 -DK=1 -DBURST=2
explore lives  switchover delivery       -DN=1 -DK=2
for rule in RULE1=0 RULE2=0 RULE3=0 RULE3_HARD FLUSH_LATE \
    ORDER_X=0 ORDER_H=0 ORDER_Y1=0 ORDER_Y2=0; do
    explore breaks switchover "$rule" -DN=2 -DK=2 -D$rule
done

explore holds  multiqueue any-tx-queue   -DN0=2 -DN1=0 -DK=1 -DFIRST=1
explore holds  multiqueue steady-tx-queue -DN0=2 -DN1=0 -DK=1 -DFIRST=1 -DBURST=1 -DSTEADY
for rule in RULE3_OWN PUBLISH_EARLY STOP_LATE; do
    explore breaks multiqueue "$rule" -DN0=2 -DN1=0 -DK=1 -DFIRST=1 -DBURST=1 -D$rule
done
explore breaks multiqueue PASS_OWN       -DN0=2 -DN1=0 -DK=1 -DBURST=1 -DPASS_OWN
two_threads='-DMIDWAY -DN0=1 -DN1=1 -DPOLLERS=2 -DOTHERS=1'
# shellcheck disable=SC2086
explore holds  multiqueue two-threads    $two_threads
# shellcheck disable=SC2086
explore breaks multiqueue SNAPSHOT=0 $two_threads -DSNAPSHOT=0

explore holds  fanin two-senders         -DN=1 -DM=1 -DK=2
explore holds  fanin busy-link           -DN=1 -DM=5 -DK=0 -DDIRECT -DRX=1
explore holds  fanin index-wrap          -DN=1 -DM=9 -DK=0 -DDIRECT
explore holds  fanin dead-sender         -DN=1 -DM=1 -DK=1 -DDIRECT -DMORTAL
explore breaks fanin SHARE=0     -DN=1 -DM=5 -DK=0 -DDIRECT -DRX=1 -DSHARE=0
explore breaks fanin STALE=1     -DN=1 -DM=9 -DK=0 -DDIRECT -DSTALE=1
explore breaks fanin AHEAD       -DN=1 -DM=2 -DK=1 -DDIRECT -DMORTAL -DAHEAD
explore breaks fanin RULE3_HARD  -DN=0 -DM=3 -DK=2 -DRULE3_HARD

explore holds  death one-death           -DN=2 -DK=1 -DD=1
explore holds  death two-deaths          -DN=1 -DK=1 -DD=2
explore holds  death silent-after        -DN=2 -DK=1 -DD=1 -DAGAIN=0
explore holds  death stop-left-alone     -DN=2 -DK=1 -DD=1 -DNO_RESET
explore breaks death FIAT        -DK=1 -DFIAT
explore breaks death NO_DROP     -DK=1 -DNO_DROP
explore breaks death UP_LATE     -DK=1 -DUP_LATE
explore breaks death LAZY_GATE   -DK=1 -DLAZY_GATE
explore breaks death AHEAD       -DK=1 -DAHEAD -DAGAIN=0
explore breaks death AHEAD-NO_RESET -DAHEAD -DNO_RESET -DAGAIN=1

explore holds  mapping one-death         -DD=1
explore holds  mapping two-deaths        -DD=2
for rule in ONE_ACK OLD_EPOCH FORCE HOLDING DEAF; do
    explore breaks mapping "$rule" -D$rule
done

if [ "$deep" = deep ]; then
    explore holds  switchover deep           -DN=2 -DK=3
    explore holds  switchover deep-bursts    -DN=2 -DK=2 -DBURST=2
    explore lives  switchover deep-delivery  -DN=2 -DK=1
    explore holds  multiqueue deep           -DN0=2 -DN1=0 -DK=2
    explore holds  multiqueue deep-two-flows -DN0=2 -DN1=1 -DK=2 -DSTEADY
    explore holds  fanin deep                -DN=2 -DM=1 -DK=2
    explore holds  fanin deep-dead-sender    -DN=1 -DM=2 -DK=1 -DDIRECT -DMORTAL
    explore holds  death deep                -DN=2 -DK=2 -DD=1
    explore holds  death deep-two-deaths     -DN=2 -DK=1 -DD=2
    explore holds  mapping deep-three-links  -DLINKS=3
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
