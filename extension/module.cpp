// The shared object itself: magic block and start-up.
#include "background.hpp"
#include "buffer.hpp"
#include "setting.hpp"
#include "version.hpp"

extern "C" {
PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);
void _PG_init(void) {
    chancy::define_settings();
    chancy::start_buffer();
    chancy::start_version();
    chancy::start_background();
}
}
