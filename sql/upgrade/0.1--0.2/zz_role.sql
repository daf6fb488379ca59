-- What is new belongs to those who had it granted before.
SELECT chancy.grant_producer(role, queues) FROM chancy.grants WHERE kind = 'producer';
SELECT chancy.grant_worker(role, queues) FROM chancy.grants WHERE kind = 'worker';
SELECT chancy.grant_admin(role) FROM chancy.grants WHERE kind = 'admin';
