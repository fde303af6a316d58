/*
 * Mode Agent: no two members ever run the workload at the same instant (I4), by timers alone when nobody can be asked.
 * Two agents, one operator, one Lease, requests that take any time or are lost, clocks of different rate. See README.md.
 *
 * A tick is a step of true time. Everything else takes no time, and may happen in any order between two ticks.
 * `spin -D<MUTANT>` leaves one rule out; each must be found violated.
 */
#ifndef FENCE
#define FENCE 2                    /* fenceDeadline */
#endif
#ifndef GRACE
#define GRACE 1                    /* stopGrace: so long after it the workload is dead, whatever it does */
#endif
#ifndef DRIFT
#define DRIFT 1                    /* ticks that an agent's clock may lose on the operator's in one lease */
#endif
/* The tightest that can be right: what ends and what begins at the same tick do so in this order. The rule demands more. */
#ifdef SHORT_LEASE
#define DURATION (FENCE + GRACE + DRIFT - 1)
#else
#define DURATION (FENCE + GRACE + DRIFT)
#endif

#ifndef AGENTS
#define AGENTS 2
#endif
#define NOBODY AGENTS
#define OFF 255                    /* a timer that does not run */

mtype = { standby, running, stopping, finished };    /* finished: its containers have ended for good (P2) */
mtype = { none, underWay, accepted };

byte holder = 0;                   /* of the Lease */

mtype workload[AGENTS] = standby;
bit knows[AGENTS];                 /* the agent has read the Lease as it is now */
byte age[AGENTS] = OFF;            /* by its own clock: since the last renewal that succeeded was sent */
byte slack[AGENTS];                /* ticks that this clock may still lose while `age` runs */

mtype renewal[AGENTS] = none;      /* a request of the agent's, on its way there or back */
bit current[AGENTS];               /* the Lease is still what the request expects it to be */
bit isRelease[AGENTS];
byte sent[AGENTS] = OFF;           /* by its own clock: since it was sent */
byte sentSlack[AGENTS];

bit operatorKnows;
byte operatorAge;                  /* by the operator's clock: since it first saw the Lease as it is */

#define runs(i) (workload[i] == running || workload[i] == stopping)

/* The Lease is written: nobody else has seen this version yet, and whatever expects an older one is refused. */
inline written() {
  byte a;
  a = 0;
  do
  :: a < AGENTS -> knows[a] = 0; current[a] = 0; a++
  :: else -> break
  od;
  a = 0;
  operatorKnows = 0;
#ifndef AGE_OF_HOLDER
  operatorAge = 0
#endif
}

inline forgetRequest(i) { renewal[i] = none; sent[i] = OFF; sentSlack[i] = 0; isRelease[i] = 0; current[i] = 0 }

inline stopped(i, how) { workload[i] = how; age[i] = OFF; slack[i] = 0 }

proctype Agent(byte i) {
  do
  :: d_step { !knows[i] && workload[i] != finished -> knows[i] = 1 }

  /* Renew, or begin: the clock runs from before the request is sent. */
  :: d_step { knows[i] && holder == i && renewal[i] == none && (workload[i] == standby || workload[i] == running) ->
      renewal[i] = underWay; current[i] = 1; sent[i] = 0; sentSlack[i] = DRIFT }
#ifdef NO_RENEWAL_CAS
  :: d_step { renewal[i] == underWay && !isRelease[i] -> holder = i; written(); renewal[i] = accepted }
#else
  :: d_step { renewal[i] == underWay && !isRelease[i] && current[i] -> written(); renewal[i] = accepted }
#endif
  :: d_step { renewal[i] == accepted && !isRelease[i] ->
#ifdef DEADLINE_FROM_ANSWER
      sent[i] = 0;
#endif
      if
      :: sent[i] < FENCE && (workload[i] == standby || workload[i] == running) ->
        workload[i] = running; age[i] = sent[i]; slack[i] = sentSlack[i]
      :: else
      fi;
      forgetRequest(i) }
#ifdef RUN_WHEN_GRANTED
  :: d_step { knows[i] && holder == i && workload[i] == standby -> workload[i] = running; age[i] = 0; slack[i] = DRIFT }
#endif
  /* Refused, lost on its way, or its answer lost. What is only late stays. */
  :: d_step { renewal[i] != none && !current[i] -> forgetRequest(i) }
  :: d_step { renewal[i] == underWay -> forgetRequest(i) }
  :: d_step { renewal[i] == accepted -> forgetRequest(i) }

  /* Another one holds the Lease: stop. */
  :: d_step { knows[i] && holder != i && workload[i] == running -> workload[i] = stopping }
  /* Asked to stop for a planned move. */
  :: d_step { knows[i] && workload[i] == running -> workload[i] = stopping }
  :: d_step { workload[i] == stopping -> stopped(i, standby) }
  /* P1: released after the stop was acknowledged. */
#ifdef RELEASE_EARLY
#define mayRelease (workload[i] == standby || workload[i] == stopping)
#else
#define mayRelease (workload[i] == standby)
#endif
  :: d_step { mayRelease && knows[i] && holder == i && renewal[i] == none ->
      renewal[i] = underWay; isRelease[i] = 1; current[i] = 1 }
  :: d_step { renewal[i] == underWay && isRelease[i] && current[i] -> holder = NOBODY; written(); forgetRequest(i) }

  /* The container dies and is started again, knowing nothing; or its pod ends for good. */
  :: d_step { workload[i] != finished && (runs(i) || renewal[i] != none) -> stopped(i, standby); forgetRequest(i); knows[i] = 0 }
  :: d_step { workload[i] != finished -> stopped(i, finished); forgetRequest(i); knows[i] = 0 }
  od
}

proctype Operator() {
  byte to;
  do
  :: d_step { !operatorKnows -> operatorKnows = 1
#ifndef AGE_OF_HOLDER
      ; operatorAge = 0
#endif
     }
  :: d_step { operatorKnows && (
        holder == NOBODY                                             /* P1 */
        || (holder != NOBODY && workload[holder] == finished)        /* P2 to P4: attested by others than the agent */
        || operatorAge >= DURATION                                   /* P5 */
#ifdef GRANT_ON_SUSPICION
        || holder != NOBODY
#endif
      ) ->
      if
      :: holder != 0 && workload[0] != finished -> to = 0
      :: holder != 1 && workload[1] != finished -> to = 1
      :: else -> to = holder
      fi;
      if
      :: to != holder -> holder = to; written(); operatorKnows = 1; operatorAge = 0
      :: else
      fi;
      to = 0 }
  od
}

/* One agent's clock: it ticks, or loses this tick as long as its margin lasts. */
inline clockTick(i) {
  if
  :: (age[i] == OFF || slack[i] > 0) && (sent[i] == OFF || sentSlack[i] > 0) && (age[i] != OFF || sent[i] != OFF) ->
    if
    :: age[i] != OFF -> slack[i]--
    :: else
    fi;
    if
    :: sent[i] != OFF -> sentSlack[i]--
    :: else
    fi
  :: true ->
    if
    :: age[i] != OFF && age[i] < FENCE + GRACE -> age[i]++
    :: else
    fi;
    if
    :: sent[i] != OFF && sent[i] < FENCE -> sent[i]++
    :: else
    fi
  fi;
  /* At its deadline it begins to stop; when the grace is over, the workload is dead (stopGrace is the worst case of
     whatever enforces it, also when the agent itself hangs). */
  if
  :: workload[i] == running && age[i] >= FENCE -> workload[i] = stopping
  :: else
  fi;
  if
  :: runs(i) && age[i] >= FENCE + GRACE -> stopped(i, standby)
  :: else
  fi
}

proctype Time() {
  do
  :: atomic {
      clockTick(0); clockTick(1);
      if
      :: operatorKnows && operatorAge < DURATION -> operatorAge++
      :: else
      fi
    }
  od
}

proctype Watcher() {
  atomic { runs(0) && runs(1) -> assert(false) }                     /* I4 */
}

init { atomic { run Agent(0); run Agent(1); run Operator(); run Time(); run Watcher() } }
