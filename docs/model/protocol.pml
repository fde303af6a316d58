/*
 * One move of the active, step by step, under everything that may come between two of its steps.
 * Two replicas of the operator, three members, one API server. See README.md beside this file.
 *
 * The good protocol is this file as it stands. `spin -D<MUTANT>` leaves one rule out; each must be found violated.
 */
#ifndef GRANTS
#define GRANTS 3                   /* moves in one history, the first active not counted */
#endif

#ifndef MEMBERS
#define MEMBERS 3                  /* 2: nothing ever moves to the third */
#endif

#define NOBODY 3                   /* members are 0, 1, 2 */
#define FIRST_TERM 1
#ifdef NO_JUMP
#define JUMP 0
#else
#define JUMP (GRANTS + 1)          /* stands for 1,000: more than the grants that may have left no trace */
#endif

/* Objects, as bits of a set. 1, 2 and 4 are the pods. */
#define POD(p) (1 << (p))
#define LEASE 8
#define SERVICE 16
#define ALL 31
/* Further bits of what a plan has still to do. */
#define GRANT 8
#define CREATE 16
#define RESTORE 32

typedef Cluster {
  bit hasLease;
  byte holder;                     /* Lease.spec.holderIdentity */
  byte term;                       /* Lease.spec.leaseTransitions */
  byte routing;                    /* the term under which the holder is routed; another one only after a lost Lease */
  byte selector;                   /* the term in the Service's selector */
  bit role[3];                     /* pod label role=active */
  byte label[3]                    /* pod label term; 0: none */
};

Cluster api;                       /* the truth */
Cluster seen[2];                   /* each replica's caches, as old as they may be */
byte fresh[2] = ALL;               /* objects of which the cached resourceVersion is the newest: there a write is taken */
bit sure[2];                       /* this process has read all since it leads, and has lost no answer since */

bit lead;                          /* the replica that may begin a plan */
bit busy[2];                       /* is in the middle of one; the lead may go meanwhile, and the plan goes on */
bit foreign;                       /* a replica without the lead has written, and the leader has not caught up since */

byte given = FIRST_TERM;           /* the highest term ever granted */
byte grants;

#define ROLES (api.role[0] + api.role[1] + api.role[2])
#define CARRIES(p, t) (api.label[p] == (t))
#ifdef SELECT_BY_ROLE
#define SELECTED ROLES
#else
#define SELECTED (CARRIES(0, api.selector) + CARRIES(1, api.selector) + CARRIES(2, api.selector))
#endif
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define HIGHEST(c) MAX(MAX(c.hasLease -> c.term : 0, c.selector), MAX(MAX(c.label[0], c.label[1]), c.label[2]))

/* What must hold after every write. */
inline check() {
  assert(SELECTED <= 1);                                             /* I2 */
  assert(api.label[0] == 0 || (!CARRIES(1, api.label[0]) && !CARRIES(2, api.label[0])));
  assert(api.label[1] == 0 || !CARRIES(2, api.label[1]));            /* a term is one pod's */
  assert(foreign || ROLES <= 1)                                      /* I3 */
}

inline catchUp() {
  if
  :: fresh[lead] == ALL && ROLES <= 1 -> foreign = 0
  :: else
  fi
}

inline readLease() {
  seen[me].hasLease = api.hasLease; seen[me].holder = api.holder;
  seen[me].term = api.term; seen[me].routing = api.routing;
  fresh[me] = fresh[me] | LEASE;
  catchUp()
}

inline readService() {
  seen[me].selector = api.selector;
  fresh[me] = fresh[me] | SERVICE;
  catchUp()
}

inline readPod(p) {
  seen[me].role[p] = api.role[p]; seen[me].label[p] = api.label[p];
  fresh[me] = fresh[me] | POD(p);
  catchUp()
}

/* After each write that the API server took. When its answer is lost, the writer knows neither that nor the new version. */
inline landed(object, isAnswered) {
  fresh[1 - me] = fresh[1 - me] & (ALL - object);
  if
  :: isAnswered -> fresh[me] = fresh[me] | object
  :: else -> fresh[me] = fresh[me] & (ALL - object); sure[me] = 0; failed = 1
  fi;
  if
  :: lead != me -> foreign = 1
  :: else
  fi;
  catchUp();
  check()
}

#define isCurrent(object) (fresh[me] & (object))

/* The write never arrives, or its sender dies before it and starts again: what it remembered is gone, its plan too. */
inline neverSent() { failed = 1; sure[me] = 0 }

/* What is to be done, from the caches alone; `wish` is the member that the active should move to, if any. */
inline decide() {
  d_step {
    todo = 0; term = 0; toLabel = 0; toFlip = 0; target = NOBODY;
    if
    :: !seen[me].hasLease -> todo = CREATE
    :: seen[me].hasLease && seen[me].term == 0 -> todo = RESTORE
    :: seen[me].hasLease && seen[me].term != 0 ->
      if
      :: wish != NOBODY && wish != seen[me].holder ->
        target = wish; todo = GRANT;
        term = HIGHEST(seen[me]) + 1
      :: else ->
        target = seen[me].holder;
        term = seen[me].routing
      fi;
      if
      :: seen[me].role[0] && target != 0 -> todo = todo | POD(0)
      :: else
      fi;
      if
      :: seen[me].role[1] && target != 1 -> todo = todo | POD(1)
      :: else
      fi;
      if
      :: seen[me].role[2] && target != 2 -> todo = todo | POD(2)
      :: else
      fi;
      if
      :: target != NOBODY ->
        toLabel = !(seen[me].role[target] && seen[me].label[target] == term);
        toFlip = (seen[me].selector != term)
      :: else
      fi
    fi;
#ifdef NO_STRIP
    todo = todo & (GRANT | CREATE | RESTORE)
#endif
  }
}

inline strip(p) {
  todo = todo & (31 - POD(p));
  if
  :: !isCurrent(POD(p)) -> failed = 1
  :: isCurrent(POD(p)) -> d_step { api.role[p] = 0; seen[me].role[p] = 0; landed(POD(p), 1) }
  :: isCurrent(POD(p)) -> d_step { api.role[p] = 0; landed(POD(p), 0) }
  :: neverSent()
  fi
}

#ifdef NO_CAS
#define mayGrant (api.hasLease && grants < GRANTS)
#else
#define mayGrant (isCurrent(LEASE) && grants < GRANTS)
#endif

inline takeGrant() {
  assert(term > given);                                              /* I1 */
  given = term; grants++;
  api.holder = target; api.term = term; api.routing = term
}

inline grant() {
  todo = todo & (31 - GRANT);
  if
  :: !(mayGrant) -> failed = 1
  :: mayGrant -> d_step {
      takeGrant();
      seen[me].holder = target; seen[me].term = term; seen[me].routing = term;
      landed(LEASE, 1)
    }
  :: mayGrant -> d_step { takeGrant(); landed(LEASE, 0) }
  :: neverSent()
  fi
}

inline giveLabel() {
  if
  :: !isCurrent(POD(target)) -> failed = 1
  :: isCurrent(POD(target)) -> d_step {
      api.role[target] = 1; api.label[target] = term;
      seen[me].role[target] = 1; seen[me].label[target] = term;
      landed(POD(target), 1)
    }
  :: isCurrent(POD(target)) -> d_step { api.role[target] = 1; api.label[target] = term; landed(POD(target), 0) }
  :: neverSent()
  fi
}

inline takeFlip() {
  api.selector = term;
  /* Nobody is cut off: the term that traffic goes to is on a pod. */
  assert(lead != me || foreign || CARRIES(0, term) || CARRIES(1, term) || CARRIES(2, term))
}

inline flip() {
  if
  :: !isCurrent(SERVICE) -> failed = 1
  :: isCurrent(SERVICE) -> d_step { takeFlip(); seen[me].selector = term; landed(SERVICE, 1) }
  :: isCurrent(SERVICE) -> d_step { takeFlip(); landed(SERVICE, 0) }
  :: neverSent()
  fi
}

/* A lost Lease is made again empty: that has no precondition, and may come late. */
inline create() {
  if
  :: api.hasLease -> d_step { readLease() }
  :: !api.hasLease -> d_step {
      api.hasLease = 1;
      seen[me].hasLease = 1; seen[me].holder = NOBODY; seen[me].term = 0; seen[me].routing = 0;
      landed(LEASE, 1)
    }
  :: !api.hasLease -> d_step { api.hasLease = 1; landed(LEASE, 0) }
  :: neverSent()
  fi
}

#ifdef NO_RESTORE_CAS
#define mayRestore api.hasLease
#else
#define mayRestore isCurrent(LEASE)
#endif

/* Then it is filled around whoever is routed, its term above every one that may have been given. */
inline takeRestored() {
  term = HIGHEST(seen[me]) + JUMP;
  assert(term > given || JUMP == 0);                                 /* I1 */
  given = MAX(term, given);
  target = NOBODY;
  if
  :: seen[me].label[0] == seen[me].selector -> target = 0
  :: seen[me].label[1] == seen[me].selector -> target = 1
  :: seen[me].label[2] == seen[me].selector -> target = 2
  :: else
  fi;
  api.holder = target; api.term = term; api.routing = (target == NOBODY -> term : seen[me].selector)
}

inline restore() {
  if
  :: !(mayRestore) -> failed = 1
  :: mayRestore -> d_step {
      takeRestored();
      seen[me].holder = api.holder; seen[me].term = term; seen[me].routing = api.routing;
      landed(LEASE, 1)
    }
  :: mayRestore -> d_step { takeRestored(); landed(LEASE, 0) }
  :: neverSent()
  fi
}

/* A process that is not sure reads all before it writes, so what its caches say does not count: they are emptied, and
   states that differ in nothing else become one. */
#ifdef NO_READ_ALL
#define isSure(r) 1
inline forget(r) { skip }
#else
#define isSure(r) sure[r]
inline forget(r) {
  fresh[r] = 0;
  seen[r].hasLease = 0; seen[r].holder = 0; seen[r].term = 0; seen[r].routing = 0; seen[r].selector = 0;
  seen[r].role[0] = 0; seen[r].role[1] = 0; seen[r].role[2] = 0;
  seen[r].label[0] = 0; seen[r].label[1] = 0; seen[r].label[2] = 0
}
#endif

/* Whether the active is fit is not modelled: at any time a replica may find that it must move, and to whom. */
inline choose() {
  if
  :: wish = NOBODY
  :: grants < GRANTS -> wish = 0
  :: grants < GRANTS -> wish = 1
  :: grants < GRANTS && MEMBERS == 3 -> wish = 2
  fi
}

#define nothingToDo (!todo && !toLabel && !toFlip)

/* Nothing to do, and nothing unseen: then all is well, whatever happened before. */
inline checkRest() {
  assert(fresh[me] != ALL || ROLES <= 1);
  assert(fresh[me] != ALL || api.holder == NOBODY || (api.role[api.holder] && CARRIES(api.holder, api.selector)))
}

inline goOn() {
  if
#ifdef LABEL_BEFORE_STRIP
  :: toLabel && !failed && !(todo & (GRANT | CREATE | RESTORE)) -> goto give
#endif
  :: todo & (CREATE | RESTORE) -> goto make
  :: todo && !(todo & (CREATE | RESTORE)) -> goto take
  :: !todo && failed -> goto idle
  :: !todo && !failed && toLabel -> goto give
  :: !todo && !failed && !toLabel && toFlip -> goto turn
  :: !todo && !failed && !toLabel && !toFlip -> goto idle
  fi
}

proctype Operator(bit me) {
  byte wish, target, term, todo, next;
  bit toLabel, toFlip, failed;

idle:
  atomic {
    wish = NOBODY; target = NOBODY; term = 0; todo = 0; next = 0; toLabel = 0; toFlip = 0; failed = 0;
    busy[me] = 0;
    if
    :: !isSure(me) -> d_step { forget(me) }
    :: else
    fi
  };
  do
  /* Watches deliver, object by object, when they do. */
  :: d_step { lead == me && isSure(me) && !isCurrent(LEASE) -> readLease() }
  :: d_step { lead == me && isSure(me) && !isCurrent(SERVICE) -> readService() }
  :: d_step { lead == me && isSure(me) && !isCurrent(POD(0)) -> readPod(0) }
  :: d_step { lead == me && isSure(me) && !isCurrent(POD(1)) -> readPod(1) }
  :: d_step { lead == me && isSure(me) && !isCurrent(POD(2)) -> readPod(2) }
  :: atomic {
      lead == me && isSure(me) ->
      choose(); decide();
      if
      :: nothingToDo -> checkRest(); wish = NOBODY; target = NOBODY; term = 0
      :: else ->
        busy[me] = 1;
        if
#ifndef NO_LIVE_READ
        :: todo & GRANT -> goto readSome
        :: todo & RESTORE -> goto readAll
#endif
        :: else -> goOn()
        fi
      fi
    }
  :: atomic { lead == me && !isSure(me) -> choose(); busy[me] = 1; goto readAll }
  od;

readAll:
  do
  :: atomic { next == 0 -> d_step { readLease(); next = 1 } }
  :: atomic { next > 0 && next < 4 -> d_step { readPod(next - 1); next++ } }
  :: atomic { next == 4 ->
      d_step { readService(); next = 0; sure[me] = 1 };
      decide();
      if
      :: nothingToDo -> checkRest(); goto idle
      :: else -> goOn()
      fi
    }
  od;

readSome:
  atomic { readLease() };
  d_step { readPod(wish) };
  atomic {
    d_step {
      if
      :: seen[me].hasLease && seen[me].holder != NOBODY -> readPod(seen[me].holder)
      :: else
      fi
    };
    decide();
    goOn()
  };

take:
#ifdef FLIP_BEFORE_LABEL
  atomic {
    if
    :: todo == GRANT && toFlip -> grant(); if :: !failed -> flip() :: else fi; toFlip = 0; goOn()
    :: else
    fi
  };
#endif
  /* Strips and the grant are in flight together. One that fails does not keep the others from landing. */
  do
  :: atomic { todo & POD(0) -> strip(0); goOn() }
  :: atomic { todo & POD(1) -> strip(1); goOn() }
  :: atomic { todo & POD(2) -> strip(2); goOn() }
  :: atomic { todo & GRANT -> grant(); goOn() }
  od;

make:
  atomic {
    if
    :: todo & CREATE -> create()
    :: todo & RESTORE -> restore()
    fi;
    goto idle
  };

give:
  atomic { giveLabel(); toLabel = 0; goOn() };

turn:
  atomic { flip(); toFlip = 0; goOn() }
}

/* Which replica leads. Whoever gets the lead has ended its old plans: it runs, so it knew that it had lost it. */
proctype Election() {
  do
  :: atomic { !busy[1 - lead] -> lead = 1 - lead; sure[lead] = 0; d_step { forget(lead); catchUp() } }
  od
}

/* Somebody deletes the Lease, once. */
proctype Hand() {
  d_step {
    api.hasLease = 0; api.holder = NOBODY; api.term = 0; api.routing = 0;
    fresh[0] = fresh[0] & (ALL - LEASE); fresh[1] = fresh[1] & (ALL - LEASE)
  }
}

init {
  atomic {
    d_step {
      api.hasLease = 1; api.holder = 0; api.term = FIRST_TERM; api.routing = FIRST_TERM; api.selector = FIRST_TERM;
      api.role[0] = 1; api.label[0] = FIRST_TERM;
      seen[0].hasLease = 1; seen[0].holder = 0; seen[0].term = FIRST_TERM; seen[0].routing = FIRST_TERM;
      seen[0].selector = FIRST_TERM; seen[0].role[0] = 1; seen[0].label[0] = FIRST_TERM;
      seen[1].hasLease = 1; seen[1].holder = 0; seen[1].term = FIRST_TERM; seen[1].routing = FIRST_TERM;
      seen[1].selector = FIRST_TERM; seen[1].role[0] = 1; seen[1].label[0] = FIRST_TERM
    };
    run Operator(0); run Operator(1); run Election();
#ifndef KEEP_LEASE
    run Hand()
#endif
  }
}
