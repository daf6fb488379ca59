/*
 * The lock protocol of chancy, as far as it decides who waits for whom.
 *
 * Every transaction is one process that makes up its work as it goes: which rows and slots it takes, which it
 * passes by, what becomes of a row, whether it commits. So one run of the checker covers all batches at once.
 * A variant (NAME.pml) changes one rule by a #define and includes this file; contract.pml changes none.
 *
 * A deadlock is an "invalid end state": somebody waits and nobody can move. Cycles through application locks alone
 * are the application's own; the server's deadlock detector ends one of their members here too (lock_application).
 *
 * "Spec:" names the isolation spec under regress/isolation/specs that shows a transition in the real server;
 * README.md has the table.
 */

/* Bounds. */
#ifndef TRANSACTIONS
#define TRANSACTIONS 2
#endif
#ifndef KEYS
#define KEYS 2
#endif
#ifndef ROWS_PER_KEY
#define ROWS_PER_KEY 2
#endif
#ifndef APPLICATION_LOCKS
#define APPLICATION_LOCKS 1                      /* at most 2 */
#endif
#ifndef TRIES
#define TRIES 1                                  /* things one transaction takes without waiting */
#endif
#ifndef SAVEPOINTS
#define SAVEPOINTS 1                             /* may roll back to one; as then it begins anew, this also stands for a next transaction */
#endif

/* Rules: what a variant may change. A phase is 0 before the first lock of chancy, 1 while waits are allowed, then 2 + tries. */
#ifndef MAY_LOCK_APPLICATION
#define MAY_LOCK_APPLICATION (phase == 0)        /* rule 7: writes are flushed at commit, when no lock of the application can follow */
#endif
#ifndef MAY_WAIT
#define MAY_WAIT (phase <= 1)                    /* rule 2: waits come first */
#endif
#ifndef SLOT_STEP
#define SLOT_STEP ROWS_PER_KEY                   /* rule 1: the rows of a key, then its slot */
#endif
#ifndef MAY_TAKE
#define MAY_TAKE(at) true                        /* a call of one kind takes rows only, or slots only */
#endif
#ifndef CALLS
#define CALLS 1                                  /* sorted calls that each take their locks at once */
#endif
#ifndef INITIAL
#define INITIAL(s) true                          /* states a row may have at the start */
#endif

#ifdef TALK                                      /* the trail of a counterexample, in words */
#define SAY1(text, a) printf(text, ME, a)
#define SAY(text) printf(text, ME)
#else
#define SAY1(text, a) skip
#define SAY(text) skip
#endif

#define ME _pid
#define BIT (1 << ME)
#define ROWS (KEYS * ROWS_PER_KEY)

/* The one order: for each key its rows by id, then its slot. `at` is a place in it. */
#define STEPS (ROWS_PER_KEY + 1)
#define LAST (KEYS * STEPS - 1)
#define KEY(at) ((at) / STEPS)
#define KEY_OF(r) ((r) / ROWS_PER_KEY)
#define IS_SLOT(at) ((at) % STEPS == SLOT_STEP)
#if SLOT_STEP == 0
#define ROW(at) (KEY(at) * ROWS_PER_KEY + (at) % STEPS - 1)
#else
#define ROW(at) (KEY(at) * ROWS_PER_KEY + (at) % STEPS)
#endif

/*
 * Committed rows. LIVE is pending, retrying or running: which of the three decides no wait.
 * With ANY_DATA rows are not kept: whoever looks may find anything. That allows all that the data allow and more,
 * in far fewer states.
 */
#define ABSENT 0
#define FINISHED 1
#define LIVE 2
#ifdef ANY_DATA
#define EXISTS(r) true
#define GONE(r) true
#define MAY_RETRY(r) true
#else
byte state[ROWS];
byte live[KEYS];                                 /* 1 + the live row of the key, or 0; follows from state */
#define EXISTS(r) (state[r] != ABSENT)
#define GONE(r) (state[r] == ABSENT)
#define MAY_RETRY(r) (state[r] == FINISHED)
/* Somebody else's uncommitted end of a job still counts as the live job; our own does not. Spec: push_duplicate_result */
#define SEES_LIVE(k) (live[k] && holder[live[k] - 1] != ME)
#endif

byte holder[ROWS];                               /* who holds the row FOR NO KEY UPDATE or FOR UPDATE */
byte sharers[ROWS];                              /* a bit for each holder of KEY SHARE */
byte first[ROWS];                                /* who waits first (the server's lock on the tuple); later waiters queue behind */
byte entry[KEYS];                                /* who has an uncommitted entry into the slot */
byte application[2], wanted[TRANSACTIONS + 1];   /* holders of the application's locks, and who waits for which */
byte running = TRANSACTIONS;

/* KEY SHARE conflicts with FOR UPDATE only, FOR NO KEY UPDATE with itself and FOR UPDATE. Rule 3: nobody waits FOR UPDATE. */
#define UNSHARED(r) ((sharers[r] | BIT) == BIT)
#ifdef WAITS_FOR_UPDATE
#define FREE(r) (holder[r] == ME || holder[r] == 0 && UNSHARED(r))
#define SHAREABLE(r) (holder[r] == 0)
#else
#define FREE(r) (holder[r] == ME || holder[r] == 0)
#define SHAREABLE(r) true
#endif
#define HELD_ROW(k, n) (ROWS_PER_KEY > n && holder[(k) * ROWS_PER_KEY + n % ROWS_PER_KEY] == ME)
#define HOLDS_ROW(k) (HELD_ROW(k, 0) || HELD_ROW(k, 1) || HELD_ROW(k, 2))
#define OPEN(k) (entry[k] == 0 || entry[k] == ME)

/* Lock a row, waiting for its holder's transaction to end. Specs: cancel_late_result, fence_race, retry_two */
inline lock(r) {
	if
	:: FREE(r)
	:: else ->
		SAY1("T%d waits for row %d\n", r);
		first[r] == 0;
		if
		:: FREE(r)
		:: else -> first[r] = ME; FREE(r); first[r] = 0          /* Spec: row_queue */
		fi
	fi;
	if
	:: EXISTS(r) -> holder[r] = ME; SAY1("T%d locks row %d\n", r)
	:: GONE(r)                                   /* deleted meanwhile. Spec: row_deleted */
	fi
}

/* A duplicate takes KEY SHARE of the live job, if it can without waiting: it can beside FOR NO KEY UPDATE. Specs: push_duplicate_result, fetch_duplicate, duplicates_cancel */
inline duplicate(k) {
	r = live[k] - 1;
#ifdef DUPLICATE_WAITS                           /* ON CONFLICT DO UPDATE: waits for the row's last writer and writes it */
	lock(r);
#else
	if
	:: SHAREABLE(r) -> sharers[r] = sharers[r] | BIT; SAY1("T%d shares row %d\n", r)
	:: holder[r] != 0                            /* held FOR UPDATE by a delete: still the live job. Spec: delete_queue_duplicate */
	:: holder[r] == 0 -> holder[r] = ME; SAY1("T%d takes row %d\n", r)   /* a row found late, to be changed: rule 1, tried */
	fi;
#endif
	r = 0
}

/* Become the live job of a key, by an insert or by the retry of a finished job: wait only for an uncommitted entry. Specs: push_push, push_rollback, batch_order, retry_live_key */
inline enter(k) {
#ifdef ANY_DATA
	if
	:: true                                      /* sees a live job */
	:: true ->                                   /* (else must not see the option above) */
		if
		:: OPEN(k)
		:: else -> SAY1("T%d waits for slot %d\n", k); OPEN(k)
		fi
	fi;
	if
	:: true                                      /* a duplicate */
	:: OPEN(k) -> entry[k] = ME; SAY1("T%d enters slot %d\n", k)
	:: r = (k) * ROWS_PER_KEY;                   /* a row found late */
		do
		:: KEY_OF(r + 1) == k -> r++
		:: break
		od;
		if
		:: holder[r] == 0 -> holder[r] = ME
		:: else
		fi;
		r = 0
	fi
#else
	do
	:: SEES_LIVE(k) -> duplicate(k); break
	:: SEES_LIVE(k) && !HOLDS_ROW(k) ->          /* replace, rerun: the live job is to be changed. Specs: rerun_result, replace_claim, replace_order */
		r = live[k] - 1;
		if
		:: FREE(r) -> holder[r] = ME; SAY1("T%d locks live row %d\n", r); r = 0; break
		:: else -> SAY1("T%d waits for live row %d\n", r); FREE(r) || live[k] != r + 1; r = 0   /* what has changed is not locked: look again */
		fi
	:: !SEES_LIVE(k) && OPEN(k) -> entry[k] = ME; SAY1("T%d enters slot %d\n", k); break
	:: else -> SAY1("T%d waits for slot %d\n", k); SEES_LIVE(k) || OPEN(k)
	od
#endif
}

/* The next thing of the transaction's work, past what it leaves alone. */
inline pick() {
#ifdef ANY_ORDER
	at = 0;
#endif
	do
	:: at < LAST -> at++
	:: at == LAST || MAY_TAKE(at) && (IS_SLOT(at) || EXISTS(ROW(at))) -> break
	od
}

inline take() {
	if
	:: MAY_TAKE(at) && IS_SLOT(at) -> enter(KEY(at))
	:: MAY_TAKE(at) && !IS_SLOT(at) && EXISTS(ROW(at)) ->
		lock(ROW(at));
#ifdef RETRY_AT_ONCE                             /* a retry enters the slot before the next row is locked */
		if
		:: true
		:: MAY_RETRY(ROW(at)) -> enter(KEY(at))
		fi
#endif
	:: else
	fi;
	at++
}

/*
 * Take a thing if nobody holds it, else pass by: a claim, a result with on_locked 'skip', a delete, a push from inside,
 * maintenance, and the flush of a transaction that holds locks of chancy already (which ends with 40001 where this one
 * passes by: a rollback, possible at any moment anyway). Specs: fetch_fetch, skip_cancel_push, rate_limit_busy, flush_holding
 */
inline try() {
	do
	:: r < ROWS - 1 -> r++
	:: break
	od;
	if
	:: EXISTS(r) && holder[r] == 0 -> holder[r] = ME; SAY1("T%d takes row %d\n", r)
#ifdef ANY_DATA
	:: OPEN(KEY_OF(r)) -> entry[KEY_OF(r)] = ME; SAY1("T%d enters slot %d\n", KEY_OF(r))
#else
	:: !SEES_LIVE(KEY_OF(r)) && OPEN(KEY_OF(r)) -> entry[KEY_OF(r)] = ME; SAY1("T%d enters slot %d\n", KEY_OF(r))
#endif
	:: else
	fi;
	r = 0
}

/* A lock of the application's own, in any order. A cycle of such locks alone is broken as the server breaks it. Specs: flush_application_lock, application_cycle */
inline lock_application(a) {
	if
	:: application[a] == 0
	:: else ->
		SAY1("T%d waits for application lock %d\n", a);
		wanted[ME] = a + 1;
		if
		:: application[a] == 0 -> wanted[ME] = 0
		:: application[1 - a] == ME && wanted[application[a]] == 2 - a -> SAY("T%d is ended: the application's own cycle\n"); release(); goto over
		fi
	fi;
	application[a] = ME;
	SAY1("T%d takes application lock %d\n", a)
}

/*
 * What a commit makes of the rows. It shows to others at this moment only, so it is chosen here and not before.
 */
inline apply() {
#ifndef ANY_DATA
	r = 0;
	do
	:: r < ROWS ->
		if
		:: holder[r] != ME
		:: holder[r] == ME && !(state[r] == LIVE && entry[KEY_OF(r)] == ME)           /* a stale result; a claim; failed, to be retried */
		:: holder[r] == ME && state[r] == LIVE -> state[r] = FINISHED                 /* a result; a cancel. A must before a new live job */
		:: holder[r] == ME && state[r] == LIVE && entry[KEY_OF(r)] != ME ->           /* and its next run, from inside: the slot is nobody's. Spec: rerun_claim */
			assert(entry[KEY_OF(r)] == 0); state[r] = FINISHED; entry[KEY_OF(r)] = ME
		:: holder[r] == ME && state[r] != ABSENT && !(state[r] == LIVE && entry[KEY_OF(r)] == ME) && UNSHARED(r) -> state[r] = ABSENT  /* a delete */
		fi;
		r++
	:: else -> break
	od;
	r = 0;
	do
	:: r == ROWS -> break
	:: r < ROWS -> r++                                                             /* withdrawn, or no room left in the model */
	:: r < ROWS && entry[KEY_OF(r)] == ME && (state[r] == ABSENT || state[r] == FINISHED && holder[r] == ME) ->
		state[r] = LIVE; entry[KEY_OF(r)] = 0; r++                                    /* a push; a retry */
	od;
	see_live()
#else
	skip
#endif
}

/* Finds the live rows, and that no key has two. */
inline see_live() {
#ifndef ANY_DATA
	r = 0;
	d_step {
		at = 0;
		do
		:: at < KEYS -> live[at] = 0; at++
		:: else -> break
		od;
		do
		:: r < ROWS ->
			if
			:: state[r] == LIVE -> assert(live[KEY_OF(r)] == 0); live[KEY_OF(r)] = r + 1
			:: else
			fi;
			r++
		:: else -> break
		od;
		r = 0
	}
#else
	skip
#endif
}

/* Gives back all that is chancy's. Spec: push_rollback */
inline give_back() {
	r = 0;
	do
	:: r < ROWS ->
		if :: holder[r] == ME -> holder[r] = 0 :: else fi;
		if :: entry[KEY_OF(r)] == ME -> entry[KEY_OF(r)] = 0 :: else fi;
		sharers[r] = sharers[r] & ~BIT;
		r++
	:: else -> break
	od;
	phase = 0; calls = 1; at = 0; r = 0
}

/* Locks are held to the end of the transaction, and end with it. Spec: push_push */
inline release() {
	d_step {
		give_back();
		if :: application[0] == ME -> application[0] = 0 :: else fi;
		if :: application[1] == ME -> application[1] = 0 :: else fi;
		wanted[ME] = 0;
		calls = 0;
		running--
	}
}

#define ALONE (running == 1)                     /* who is alone waits for nobody: nothing more to see */

proctype transaction() {
	byte phase, calls = 1, at, r;


	do
#if APPLICATION_LOCKS > 0
	:: atomic { !ALONE && MAY_LOCK_APPLICATION && application[0] != ME -> lock_application(0) }
#endif
#if APPLICATION_LOCKS > 1
	:: atomic { !ALONE && MAY_LOCK_APPLICATION && application[1] != ME -> lock_application(1) }
#endif
	:: atomic { !ALONE && MAY_WAIT && at <= LAST -> phase = 1; pick(); take() }
#if CALLS > 1
	:: atomic { !ALONE && calls < CALLS && at > 0 -> calls++; at = 0 }
#endif
#if TRIES > 0
	:: atomic { !ALONE && phase < 2 + TRIES -> phase = (phase < 2 -> 3 : phase + 1); at = 0; try() }
#endif
#if SAVEPOINTS
	:: atomic { !ALONE && phase > 0 -> SAY("T%d rolls back to a savepoint\n"); d_step { give_back() } }   /* Spec: flush_savepoint */
#endif
	:: atomic { SAY("T%d commits\n"); apply(); release(); break }
#ifndef ANY_DATA                                 /* there both are alike */
	:: atomic { SAY("T%d rolls back\n"); release(); break }
#endif
	od;
over:	skip
}

init {
	byte r, at;
	atomic {
#ifndef ANY_DATA
		do                                       /* any contents with at most one live row for a key */
		:: r < ROWS ->
			if
			:: INITIAL(ABSENT)
			:: INITIAL(FINISHED) -> state[r] = FINISHED; SAY1("T%d: row %d is finished\n", r)
			:: INITIAL(LIVE) && live[KEY_OF(r)] == 0 -> state[r] = LIVE; live[KEY_OF(r)] = r + 1; SAY1("T%d: row %d is live\n", r)
			fi;
			r++
		:: else -> break
		od;
#endif
		at = 0;
		do
		:: at < TRANSACTIONS -> run transaction(); at++
		:: else -> break
		od;
		at = 0; r = 0
	}
}
