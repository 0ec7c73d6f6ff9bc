/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two senders, X0 and X1, into one receiver Y with one queue, through one host end: two
 * up rings, two link rings, one down ring that both share.  All indexes run modulo 16
 * and are compared by signed distance, as 32-bit indexes are.
 *
 * Asserted: packets of each sender arrive in order; the system is never STUCK (see
 * switchover.pml); and no down entry is PASSED_OVER by more than SLOTS receive calls of Y
 * that were full.  A call returns at most RX entries.
 *
 *   -DMORTAL    X1 may die at any step and never come back: X0's packets arrive still
 *   -DDIRECT    X1 is on its link from the start (and with -DK=0 stays there)
 *
 * What keeps X0 going, each to be broken on purpose:
 *   -DSHARE=0    link rings may use up the whole receive call, every time
 *   -DSTALE=1    X1 never touches stop while it stays on the link, so that the distance
 *                between cons and stop passes half the index range
 *   -DAHEAD      X1 joins and leaves in mid-burst by its private indexes (MORTAL)
 *   -DRULE3_HARD a down entry waits for stop even before an open gate
 */
#ifndef N
#define N 1             /* packets of X0 */
#endif
#ifndef M
#define M 1             /* packets of X1 */
#endif
#ifndef K
#define K 2             /* route changes */
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BURST
#define BURST 2
#endif
#ifndef RX
#define RX 2
#endif
#ifndef SHARE
#define SHARE 1
#endif
#ifndef STALE
#define STALE 0
#endif

#define NEXT(i)         (((i) + 1) & 15)
#define USED(p, c)      (((p) - (c)) & 15)
#define REACHED(c, i)   ((((c) - (i)) & 15) < 8)     /* c has come to i */
#define AT(ring, index) ((ring) * SLOTS + (index) % SLOTS)
#define PACKET(q, n)    ((q) * 16 + (n))

#ifdef MORTAL
#define DONE            (arrived[0] == N)
#else
#define DONE            (arrived[0] == N && arrived[1] == M)
#endif

bit route[2];
byte up[2 * SLOTS], up_prod[2], up_cons[2];
byte down[SLOTS], down_prod, down_cons;
byte link[2 * SLOTS], prod[2], cons[2];
byte hold_from[2], gate[2], gate_epoch[2], stop[2];
byte opening[2], open_epoch[2], pass_epoch[2];

byte arrived[2];                                /* ghosts from here on */
bit dead, x_over[2], direct[2];
byte filled[2], host_at, passed_over;

#define X_IDLE(q) (x_over[q] || ((q) == 1 && dead) || \
                   (filled[q] == 0 && direct[q] && USED(prod[q], cons[q]) == SLOTS))
#define NO_CALL(q) (up_cons[q] == up_prod[q] && \
                   (open_epoch[q] == gate_epoch[q] || !REACHED(up_cons[q], gate[q])))
#define HOST_IDLE ((host_at == 0 && NO_CALL(0) && NO_CALL(1)) || \
                   (host_at == 2 && USED(down_prod, down_cons) == SLOTS))
#define OPEN(q)   (pass_epoch[q] != gate_epoch[q])
#define SHUT(q)   (open_epoch[q] != gate_epoch[q] || !REACHED(down_cons, opening[q]))
#define LINK_IDLE(q) ((cons[q] == prod[q] || (OPEN(q) && REACHED(cons[q], hold_from[q]))) && \
                   (!OPEN(q) || SHUT(q) || (cons[q] != prod[q] && !REACHED(cons[q], hold_from[q]))))
#ifdef RULE3_HARD
#define BLOCKS(q) (!REACHED(cons[q], stop[q]))
#else
#define BLOCKS(q) (!REACHED(cons[q], stop[q]) && (!OPEN(q) || \
                   (open_epoch[q] == gate_epoch[q] && REACHED(down_cons, opening[q]))))
#endif
#define DOWN_IDLE (down_cons == down_prod || BLOCKS(0) || BLOCKS(1))
#define STUCK     (X_IDLE(0) && X_IDLE(1) && HOST_IDLE && \
                   LINK_IDLE(0) && LINK_IDLE(1) && DOWN_IDLE)

inline hand_over(p)
{
    assert(p % 16 == arrived[p / 16]);
    arrived[p / 16] = NEXT(arrived[p / 16])
}

proctype Rules()
{
    byte k;
    do
    :: k < K -> atomic { k++; if :: route[0] = !route[0] :: route[1] = !route[1] fi }
    :: break
    od
}

#ifdef AHEAD
#define MAY_SWITCH true
#else
#define MAY_SWITCH (filled[q] == 0)
#endif

#define MORE    (next < (q == 0 -> N : M))

proctype X(byte q)
{
    byte next, my_prod, my_up;
    bit want;

    {
        do
        :: atomic { filled[q] < BURST && MORE -> want = (MAY_SWITCH -> route[q] : direct[q]) };
            if
            :: want && !direct[q] ->
                if
                :: atomic { pass_epoch[q] == gate_epoch[q] && REACHED(cons[q], stop[q]) ->
                    hold_from[q] = my_prod };
                    gate[q] = my_up;
                    atomic { gate_epoch[q] = NEXT(gate_epoch[q]); direct[q] = 1 }
                :: else
                fi
            :: !want && direct[q] -> atomic { stop[q] = my_prod; direct[q] = 0 }
            :: atomic { !STALE && want && direct[q] && USED(my_prod, stop[q]) == 6 ->
                stop[q] = cons[q] }             /* keep it near: says nothing new */
            :: else
            fi;
            if
            :: atomic { direct[q] && USED(my_prod, cons[q]) < SLOTS ->
                link[AT(q, my_prod)] = PACKET(q, next); my_prod = NEXT(my_prod);
                next = NEXT(next); filled[q]++; want = 0 }
            :: atomic { !direct[q] && USED(my_up, up_cons[q]) < SLOTS ->
                up[AT(q, my_up)] = PACKET(q, next); my_up = NEXT(my_up);
                next = NEXT(next); filled[q]++; want = 0 }
            :: atomic { else -> want = 0 }
            fi
        :: atomic { filled[q] > 0 && prod[q] == my_prod -> up_prod[q] = my_up; filled[q] = 0 }
        :: atomic { filled[q] > 0 && up_prod[q] == my_up -> prod[q] = my_prod; filled[q] = 0 }
        :: filled[q] > 0 && prod[q] != my_prod && up_prod[q] != my_up ->
            if
            :: prod[q] = my_prod; atomic { up_prod[q] = my_up; filled[q] = 0 }
            :: up_prod[q] = my_up; atomic { prod[q] = my_prod; filled[q] = 0 }
            fi
        :: atomic { filled[q] == 0 && !MORE -> x_over[q] = 1; break }
        od
    } unless { q == 1 && dead }
}

proctype Host()
{
    byte limit, e, at, n, i, q, batch[2];

    do
    :: DONE -> break
    :: else ->
        q = 1 - q;
        atomic { limit = up_prod[q]; host_at = 1 }; e = gate_epoch[q]; at = gate[q];
        if
        :: e != open_epoch[q] && REACHED(up_cons[q], at) ->
            opening[q] = down_prod; open_epoch[q] = e
        :: e != open_epoch[q] && !REACHED(up_cons[q], at) && REACHED(limit, at) -> limit = at
        :: else
        fi;
        atomic {
            n = 0;
            do
            :: n < 2 && up_cons[q] != limit ->
                batch[n] = up[AT(q, up_cons[q])]; up[AT(q, up_cons[q])] = 0;
                up_cons[q] = NEXT(up_cons[q]); n++
            :: else -> break
            od;
            limit = 0; e = 0; at = 0;
            host_at = (n > 0 -> 2 : 0)
        };
        do
        :: atomic { i < n && USED(down_prod, down_cons) < SLOTS ->
            down[down_prod % SLOTS] = batch[i]; down_prod = NEXT(down_prod);
            batch[i] = 0; i++;
            if :: i == n -> i = 0; n = 0; host_at = 0 :: else fi }
        :: n == 0 -> break
        od
    od
}

#ifdef RULE3_HARD
#define FREE(q)     false
#else
#define FREE(q)     (pass_epoch[q] != e[q] && \
                     (o[q] != e[q] || !REACHED(my_down, opening[q])))
#endif
#define ALLOWED(q)  (REACHED(my_cons[q], must[q]) || FREE(q))

inline take_down()
{
    o[0] = open_epoch[0]; o[1] = open_epoch[1];
    do
    :: atomic { n < RX && my_down != snap && ALLOWED(0) && ALLOWED(1) ->
        hand_over(down[my_down % SLOTS]); down[my_down % SLOTS] = 0;
        my_down = NEXT(my_down); n++; passed_over = 0 }
    :: else -> break
    od
}

proctype Y()
{
    byte snap, seen, my_down, n, q, must[2], e[2], o[2], my_cons[2];
    bit owed;

    do
    :: DONE -> break
    :: atomic { !DONE -> assert(!STUCK) };
        /* a snapshot, and the stops that go with it, stay until all of it is taken */
        if
        :: my_down == snap || !SHARE ->
            snap = down_prod; must[0] = stop[0]; must[1] = stop[1]
        :: else
        fi;
        if
        :: SHARE && owed -> take_down()         /* it went short last time: goes first */
        :: else
        fi;
        q = 0;
        do
        :: q < 2 ->
            seen = prod[q]; e[q] = gate_epoch[q];
            do
            :: atomic { n < RX && my_cons[q] != seen &&
                (pass_epoch[q] == e[q] || !REACHED(my_cons[q], hold_from[q])) ->
                hand_over(link[AT(q, my_cons[q])]); link[AT(q, my_cons[q])] = 0;
                my_cons[q] = NEXT(my_cons[q]); n++ }
            :: atomic { pass_epoch[q] != e[q] &&
                (my_cons[q] == seen || REACHED(my_cons[q], hold_from[q])) &&
                open_epoch[q] == e[q] && REACHED(my_down, opening[q]) -> pass_epoch[q] = e[q] }
            :: else -> break
            od;
            atomic { seen = 0; q++ }
        :: else -> break
        od;
        take_down();
        atomic {
            if
            :: my_down != snap && n == RX -> passed_over++; assert(passed_over <= SLOTS)
            :: else
            fi;
            owed = (my_down != snap); n = 0; q = 0; o[0] = 0; o[1] = 0 };
#if !SHARE
        atomic { snap = 0; must[0] = 0; must[1] = 0; owed = 0 };
#endif
        if
        :: cons[0] != my_cons[0] -> cons[0] = my_cons[0]
        :: else
        fi;
        if
        :: cons[1] != my_cons[1] -> cons[1] = my_cons[1]
        :: else
        fi;
        if
        :: down_cons != my_down -> down_cons = my_down
        :: else
        fi
    od
}

init
{
    atomic {
#ifdef DIRECT
        direct[1] = 1; route[1] = 1;
#endif
        run Rules(); run X(0); run X(1); run Host(); run Y()
    };
#ifdef MORTAL
    if
    :: dead = 1
    :: DONE
    fi;
#endif
    DONE
}
