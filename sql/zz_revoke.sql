-- Last: nothing of ours is for everybody; the grant functions give what a role needs.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA chancy FROM PUBLIC;
