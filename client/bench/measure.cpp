#include "measure.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <unistd.h>

namespace bench {

namespace {

// utime + stime and the parent of a process, from /proc; 0 when it is gone.
struct process {
    double cpu = 0;
    int parent = 0;
};

process read_process(const std::string& folder) {
    std::ifstream file(folder + "/stat");
    std::string line;
    if (!std::getline(file, line)) return {};
    std::istringstream rest(line.substr(line.rfind(')') + 1));  // the name may have spaces
    std::string state;
    process found;
    double user = 0, system = 0;
    rest >> state >> found.parent;
    for (int i = 0; i < 9; i++) rest >> line;
    rest >> user >> system;
    found.cpu = (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    return found;
}

// All processes of the server: what its postmaster has started. Connections must stay open while they count.
double server_cpu(connection& server) {
    const int parent = read_process("/proc/" + std::to_string(PQbackendPID(server.get()))).parent;
    if (parent <= 1) return std::nan("");
    double sum = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        if (!std::isdigit(entry.path().filename().string()[0])) continue;
        if (const process p = read_process(entry.path().string()); p.parent == parent) sum += p.cpu;
    }
    return sum;
}

double client_cpu() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

long long wal(connection& server) { return server.number("SELECT pg_current_wal_insert_lsn() - '0/0'"); }

double rounded(double value) { return std::round(value * 100) / 100; }

}  // namespace

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

json percentiles(std::vector<double> seconds) {
    if (seconds.empty()) return json::object();
    std::sort(seconds.begin(), seconds.end());
    const auto at = [&](double part) {
        return std::round(seconds[static_cast<std::size_t>(part * static_cast<double>(seconds.size() - 1))] * 1e6) / 1e3;
    };
    return {{"p50_ms", at(0.5)}, {"p95_ms", at(0.95)}, {"p99_ms", at(0.99)}};
}

meter::meter(connection& server) : m_server(server), m_client_cpu(client_cpu()), m_server_cpu(server_cpu(server)), m_wal(wal(server)) {}

json meter::per_job(double jobs) {
    json told;
    if (const double cpu = server_cpu(m_server); !std::isnan(cpu)) told["server_cpu_us"] = rounded((cpu - m_server_cpu) / jobs * 1e6);
    told["client_cpu_us"] = rounded((client_cpu() - m_client_cpu) / jobs * 1e6);
    told["wal_bytes"] = std::round(static_cast<double>(wal(m_server) - m_wal) / jobs);
    return told;
}

json storage(connection& server, const std::string& table) {
    server.run("SELECT pg_stat_force_next_flush()");
    const result r = server.run(
        "SELECT pg_table_size(c.oid) / greatest(s.n_live_tup, 1), pg_indexes_size(c.oid) / greatest(s.n_live_tup, 1), s.n_dead_tup, s.n_live_tup"
        " FROM pg_class c JOIN pg_stat_all_tables s ON s.relid = c.oid WHERE c.oid = '" + table + "'::regclass");
    const auto at = [&](int column) { return std::stoll(std::string(cell(r, 0, column))); };
    return {{"rows", at(3)}, {"table_bytes_per_row", at(0)}, {"index_bytes_per_row", at(1)}, {"dead_tuples", at(2)}};
}

figure compare(connection& server, const std::string& name, double reach, int rounds, const side& ours, const side& other) {
    struct turns {
        std::vector<double> rates;
        double jobs = 0;
        json last;
    } both[2];
    const side* sides[] = {&ours, &other};
    std::vector<double> ratios;
    for (int round = -1; round < rounds; round++) {
        double rate[2];
        for (int i = 0; i < 2; i++) {
            const int turn = (i + round + 2) % 2;  // who goes first changes
            if (sides[turn]->prepare) sides[turn]->prepare();
            meter m(server);
            const auto start = clock::now();
            const double jobs = sides[turn]->work();
            rate[turn] = jobs / seconds_since(start);
            if (round < 0) continue;
            both[turn].rates.push_back(rate[turn]);
            both[turn].last = m.per_job(jobs);
        }
        if (round >= 0) ratios.push_back(rate[0] / rate[1]);
    }
    figure f;
    f.name = name;
    f.reach = reach;
    f.ours = ours.name;
    f.other = other.name;
    f.our_value = median(both[0].rates);
    f.other_value = median(both[1].rates);
    f.ratio = median(ratios);
    f.details["rounds"] = ratios;
    f.details["ours_per_job"] = both[0].last;
    f.details["other_per_job"] = both[1].last;
    return f;
}

}  // namespace bench
