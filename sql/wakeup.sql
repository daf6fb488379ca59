-- wakeup: nobody asleep, nothing sent. extension/wakeup.cpp

CREATE UNLOGGED TABLE chancy.sleepers (
    queue  text    COLLATE "C" PRIMARY KEY,
    asleep boolean NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE chancy.sleepers IS
'Queues in which a fetch found less than it asked for: the next push sends queue.pushed, once';
