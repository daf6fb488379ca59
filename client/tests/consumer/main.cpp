// A program outside of this tree: all it knows is the installed package.
#include <chancy/chancy.hpp>

#include <iostream>

int main() {
    try {
        chancy::client("host=/nonexistent").push({.func = "a"});
    } catch (const chancy::error& e) {
        std::cout << e.sqlstate() << '\n';
        return e.connection_lost() ? 0 : 1;
    }
    return 1;
}
