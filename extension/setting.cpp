#include "setting.hpp"

#include "background.hpp"
#include "compat.hpp"

namespace chancy {

struct settings setting = {
    .mode = static_cast<int>(push_mode::automatic), .flush_timeout = 30000, .hot_key_bound = 500, .duplicate_lock = true, .sweep_time = 5, .metrics_interval = 1000,
    .maintenance = true, .maintenance_interval = 60, .maintenance_workers = 2, .sql_workers = 2};

void define_settings() {
    static const config_enum_entry modes[] = {{"auto", static_cast<int>(push_mode::automatic), false},
                                              {"immediate", static_cast<int>(push_mode::immediate), false},
                                              {"at_commit", static_cast<int>(push_mode::at_commit), false},
                                              {nullptr, 0, false}};
    DefineCustomEnumVariable("chancy.push_mode", "When writes to the queue take effect.",
                             "auto: at commit inside a transaction block, a function or a trigger, else at once. immediate: at once; a block that "
                             "takes other locks can then deadlock. at_commit: always at commit.",
                             &setting.mode, setting.mode, modes, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("chancy.flush_timeout", "Longest wait for locks while COMMIT writes to the queue.",
                            "statement_timeout does not reach COMMIT. 0 means no bound but lock_timeout's.",
                            &setting.flush_timeout, setting.flush_timeout, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS, nullptr,
                            nullptr, nullptr);
    DefineCustomIntVariable("chancy.hot_key_bound", "How long a fetch passes by a due job that duplicates hold.",
                            "After that it claims the job, and the run may miss what the passed pushers have not committed.",
                            &setting.hot_key_bound, setting.hot_key_bound, 0, 3600 * 1000, PGC_USERSET, GUC_UNIT_MS, nullptr,
                            nullptr, nullptr);
    DefineCustomBoolVariable("chancy.duplicate_lock", "Whether a push that meets a waiting job holds it until commit.",
                             "Off declares that each call is its whole transaction: the run then has nothing more to see, "
                             "and a hot key costs no multixact.",
                             &setting.duplicate_lock, setting.duplicate_lock, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("chancy.sweep_time", "How long a fetch looks, without a find, at what lies before its low-water mark.",
                            "It does so at most a twentieth of the time. 0: at 64 index entries.",
                            &setting.sweep_time, setting.sweep_time, 0, 10 * 1000, PGC_USERSET, GUC_UNIT_MS, nullptr,
                            nullptr, nullptr);
    DefineCustomIntVariable("chancy.metrics_interval", "How often a connection writes what it has counted for the metrics.",
                            "At most so often, in a transaction that changes jobs; 0: in every one. -1: nothing is counted.",
                            &setting.metrics_interval, setting.metrics_interval, -1, 3600 * 1000, PGC_USERSET, GUC_UNIT_MS, nullptr,
                            nullptr, nullptr);
    DefineCustomBoolVariable("chancy.maintenance", "Whether the background worker runs maintain().",
                             "In every database that has the extension, where chancy is in shared_preload_libraries. Workers call it all the same.",
                             &setting.maintenance, setting.maintenance, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("chancy.maintenance_interval", "How often the background worker looks for new databases, at least.",
                            "It wakes for what is due in any case. A database without the extension, or where a visit fails, is visited again after this time, "
                            "then after twice as long, at most an hour.",
                            &setting.maintenance_interval, setting.maintenance_interval, 1, 3600, PGC_SIGHUP, GUC_UNIT_S, nullptr,
                            nullptr, nullptr);
    DefineCustomIntVariable("chancy.maintenance_workers", "How many databases the background worker maintains at once.",
                            "Each takes one of max_worker_processes while it works; the launcher takes one always.",
                            &setting.maintenance_workers, setting.maintenance_workers, 1, most_slots, PGC_SIGHUP, 0, nullptr,
                            nullptr, nullptr);
    DefineCustomIntVariable("chancy.sql_workers", "How many background workers run SQL jobs in one database, at most.",
                            "Each takes one of max_worker_processes while there is something to run. 0: none; CALL chancy.run_sql_jobs() runs them.",
                            &setting.sql_workers, setting.sql_workers, 0, most_slots, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    compat::reserve_settings("chancy");
}

}  // namespace chancy
