// Child processes, and the user that servers run as. Children die with the thread that started them: start them from
// the main thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <sys/types.h>

namespace chaos {

struct child_options {
    std::string output{};     // a file, appended to; empty: inherited
    bool as_server = false;   // a server refuses to run as root: then it gets its package's user
    int death_signal = 9;     // what it gets when the thread that started it ends
};

pid_t spawn(const std::vector<std::string>& argv, const child_options& options);
// Runs it to its end; throws std::runtime_error, naming its output, unless it exits with 0.
void run(const std::vector<std::string>& argv, const child_options& options);
// Waits for the end of a child: its status as waitpid(2) gives it.
int wait_for(pid_t child);
// A folder in /tmp (a socket's path is short) that the servers' user may write to, and that others may not read.
std::string make_folder();
void give_to_server(const std::string& path);
int free_port();

}  // namespace chaos
