/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Death and restart: X, the host end or Y dies at any step, up to D times in all, and
 * starts again some time later.  One class, one queue; rings survive, private state does
 * not.
 *
 * X again:         producer indexes from the shared words, everything by the switch,
 *                  stop = prod.
 * Host end again:  its batch is gone; routes withdrawn; goes on with up_cons, down_prod
 *                  and open_epoch as they are.
 * Y again:         drops what its down ring and its link ring hold; pass_epoch stays as
 *                  it is, so that a gate which was open is still open.
 *
 * X joins and leaves only at the start of a burst, when all it wrote is published; so
 * gate, hold_from and stop never point beyond a published index.
 *
 * Asserted: within one life of X packets arrive in order, none twice.  Ghost marks tell
 * which packets may be missing: in the hands of who died, or queued for a dead Y.  Also
 * asserted: never STUCK (see switchover.pml), where all are alive, none finds anything to
 * do, and yet a packet that nobody may lose has not arrived or a gate is not passed.
 *
 * Broken on purpose:
 *   -DFIAT       Y, again, declares any open gate passed (order)
 *   -DNO_DROP    Y, again, goes on at its published indexes (duplicates)
 *   -DUP_LATE    the host end publishes up_cons after it has transmitted (duplicates)
 *   -DAHEAD      X joins and leaves in mid-burst by its private indexes (stuck)
 *   -DLAZY_GATE  Y looks at a gate only if a held packet waits behind it (stuck)
 * Found harmless:
 *   -DNO_RESET   X, again, leaves stop alone
 */
#ifndef N
#define N 2             /* packets in each life of X */
#endif
#ifndef AGAIN
#define AGAIN N         /* of them sent in later lives */
#endif
#ifndef K
#define K 2             /* route changes, besides withdrawals */
#endif
#ifndef D
#define D 1             /* deaths */
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BURST
#define BURST 2
#endif

#define SENT            1                       /* marks of a packet */
#define HERE            2
#define EXCUSED         3
#define LIFE(p)         ((p) / N)
#define FINISHED        (x_over && settled == life * N + N && pass_epoch == gate_epoch)

bit route;
byte up[SLOTS], up_prod, up_cons;
byte down[SLOTS], down_prod, down_cons;
byte link[SLOTS], prod, cons;
byte hold_from, gate, gate_epoch, stop;         /* X */
byte opening[1], open_epoch;                    /* host end */
byte pass_epoch;                                /* Y */

bit kill[3];                                    /* X, host end, Y: die now */
bit y_dead, x_over;
bit direct, x_down;
byte filled, host_at;
byte life, settled;                             /* ghosts */
byte mark[N * (D + 1)];
byte due[D + 1];                                /* per life: lowest number not seen */

#define X_IDLE  (!x_down && (x_over || (filled == 0 && direct && prod - cons == SLOTS)))
#define HOST_IDLE ((host_at == 0 && up_cons == up_prod && \
                    (open_epoch == gate_epoch || up_cons < gate)) || \
                   (host_at == 2 && down_prod - down_cons == SLOTS))
#define SHUT    (open_epoch != gate_epoch || down_cons < opening[0])
#ifdef LAZY_GATE
#define TRIES(c, p) (c < p && c >= hold_from)
#else
#define TRIES(c, p) (c == p || c >= hold_from)
#endif
#define Y_IDLE  ((cons == prod || (pass_epoch != gate_epoch && cons >= hold_from)) && \
                 (pass_epoch == gate_epoch || SHUT || !TRIES(cons, prod)) && \
                 (down_cons == down_prod || (cons < stop && \
                  (pass_epoch == gate_epoch || \
                   (open_epoch == gate_epoch && down_cons >= opening[0])))))
#define STUCK   (X_IDLE && HOST_IDLE && Y_IDLE && !kill[0] && !kill[1] && !kill[2])

inline excuse(p)
{
    if
    :: mark[p] == SENT -> mark[p] = EXCUSED; settled++
    :: else
    fi
}

inline hand_over(p)
{
    assert(mark[p] == SENT && p % N >= due[LIFE(p)]);
    due[LIFE(p)] = p % N + 1;
    mark[p] = HERE; settled++
}

proctype Reaper()
{
    byte d;
    do
    :: d < D -> atomic { d++; if :: kill[0] = 1 :: kill[1] = 1 :: kill[2] = 1 fi }
    :: break
    od
}

proctype Rules()
{
    byte k;
    do
    :: k < K -> atomic { k++; route = !route }
    :: break
    od
}

#ifdef AHEAD
#define MAY_SWITCH true
#else
#define MAY_SWITCH (filled == 0)
#endif

proctype X()
{
    byte next, my_prod, my_up;
    bit want;

    do
    :: {
        do
        :: atomic { filled < BURST && next < N -> want = (MAY_SWITCH -> route : direct) };
            if
            :: want && !direct ->
                if
                :: atomic { pass_epoch == gate_epoch && cons >= stop -> hold_from = my_prod };
                    gate = my_up;
                    atomic { gate_epoch++; direct = 1 }
                :: else
                fi
            :: !want && direct -> atomic { stop = my_prod; direct = 0 }
            :: else
            fi;
            if
            :: atomic { direct && my_prod - cons < SLOTS ->
                link[my_prod % SLOTS] = life * N + next; my_prod++;
                mark[life * N + next] = SENT; next++; filled++; want = 0 }
            :: atomic { !direct && my_up - up_cons < SLOTS ->
                up[my_up % SLOTS] = life * N + next; my_up++;
                mark[life * N + next] = SENT; next++; filled++; want = 0 }
            :: atomic { else -> want = 0 }
            fi
        :: atomic { filled > 0 && prod == my_prod -> up_prod = my_up; filled = 0 }
        :: atomic { filled > 0 && up_prod == my_up -> prod = my_prod; filled = 0 }
        :: filled > 0 && prod != my_prod && up_prod != my_up ->
            if
            :: prod = my_prod; atomic { up_prod = my_up; filled = 0 }
            :: up_prod = my_up; atomic { prod = my_prod; filled = 0 }
            fi
        :: atomic { filled == 0 && next == N -> x_over = 1; break }
        od
    } unless {
        atomic { kill[0] ->                     /* what was not published is lost */
            kill[0] = 0; x_down = 1;
            do
            :: my_prod != prod -> my_prod--; excuse(link[my_prod % SLOTS])
            :: else -> break
            od;
            do
            :: my_up != up_prod -> my_up--; excuse(up[my_up % SLOTS])
            :: else -> break
            od;
            do
            :: next < N -> mark[life * N + next] = EXCUSED; settled++; next++
            :: else -> break
            od;
            filled = 0; want = 0; direct = 0; life++;
            next = N - AGAIN; settled = settled + N - AGAIN
        };
#ifndef NO_RESET
        stop = prod;
#endif
        atomic { my_prod = prod; my_up = up_prod; x_down = 0 }
    };
    if
    :: x_over -> break
    :: else
    fi
    od
}

proctype Host()
{
    byte limit, e, at, n, i, batch[2], my_up;

    do
    :: {
        do
        :: FINISHED -> break
        :: else ->
            atomic { limit = up_prod; host_at = 1 }; e = gate_epoch; at = gate;
            if
            :: e != open_epoch && my_up >= at -> opening[0] = down_prod; open_epoch = e
            :: e != open_epoch && my_up < at && at < limit -> limit = at
            :: else
            fi;
            atomic {
                n = 0;
                do
                :: n < 2 && my_up < limit -> batch[n] = up[my_up % SLOTS]; my_up++; n++
                :: else -> break
                od;
#ifndef UP_LATE
                up_cons = my_up;
#endif
                limit = 0; e = 0; at = 0;
                host_at = (n > 0 -> 2 : 0)
            };
            do
            :: atomic { i < n && down_prod - down_cons < SLOTS ->
                down[down_prod % SLOTS] = batch[i]; down_prod++; batch[i] = 0; i++;
                host_at = (i < n -> 2 : 1) }
            :: atomic { i < n && y_dead && down_prod - down_cons == SLOTS ->
                excuse(batch[i]); batch[i] = 0; i++;
                host_at = (i < n -> 2 : 1) }
            :: i == n -> break
            od;
#ifdef UP_LATE
            up_cons = my_up;
#endif
            atomic { i = 0; n = 0; host_at = 0 }
        od
    } unless {
        atomic { kill[1] ->
            kill[1] = 0; host_at = 1;
#ifndef UP_LATE
            do
            :: i < n -> excuse(batch[i]); i++
            :: else -> break
            od;
#endif
            batch[0] = 0; batch[1] = 0; i = 0; n = 0; limit = 0; e = 0; at = 0
        };
        atomic { route = 0; my_up = up_cons; host_at = 0 }
    };
    if
    :: FINISHED -> break
    :: else
    fi
    od
}

proctype Y()
{
    byte snap, must, seen, e, o, my_cons, my_down, n, i, held[4];

    do
    :: {
        do
        :: FINISHED -> break
        :: atomic { !FINISHED -> assert(!STUCK) };
            snap = down_prod; must = stop; seen = prod; e = gate_epoch;
            do
            :: atomic { my_cons < seen && (pass_epoch == e || my_cons < hold_from) ->
                held[n] = link[my_cons % SLOTS]; n++; my_cons++ }
            :: atomic { pass_epoch != e && TRIES(my_cons, seen) && open_epoch == e &&
                my_down >= opening[0] -> pass_epoch = e }
            :: else -> break
            od;
            o = open_epoch;
            do
            :: atomic { my_down < snap && (my_cons >= must ||
                 (pass_epoch != e && (o != e || my_down < opening[0]))) ->
                held[n] = down[my_down % SLOTS]; n++; my_down++ }
            :: atomic { else -> snap = 0; must = 0; seen = 0; e = 0; o = 0; break }
            od;
            atomic {                            /* a call returns all at once */
                do
                :: i < n -> hand_over(held[i]); held[i] = 0; i++
                :: else -> break
                od;
                i = 0; n = 0
            };
            if
            :: cons != my_cons -> cons = my_cons
            :: else
            fi;
            if
            :: down_cons != my_down -> down_cons = my_down
            :: else
            fi
        od
    } unless {
        atomic { kill[2] ->
            kill[2] = 0; y_dead = 1;
            do
            :: i < n -> excuse(held[i]); held[i] = 0; i++
            :: else -> break
            od;
            i = 0; n = 0; snap = 0; must = 0; seen = 0; e = 0; o = 0
        };
#ifdef NO_DROP
        my_down = down_cons; my_cons = cons;
#else
        atomic { my_down = down_cons;
            do
            :: my_down != down_prod -> excuse(down[my_down % SLOTS]); my_down++
            :: else -> break
            od;
            down_cons = my_down };
        atomic { my_cons = cons;
            do
            :: my_cons != prod -> excuse(link[my_cons % SLOTS]); my_cons++
            :: else -> break
            od;
            cons = my_cons };
#endif
#ifdef FIAT
        pass_epoch = gate_epoch;
#endif
        y_dead = 0
    };
    if
    :: FINISHED -> break
    :: else
    fi
    od
}

init
{
    atomic { run Reaper(); run Rules(); run X(); run Host(); run Y() };
    FINISHED
}
