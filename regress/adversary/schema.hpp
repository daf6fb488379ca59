// The database of a run: the extension, the application's tables, and the book in which every transaction writes what
// it did, so that a commit and its entries cannot differ.
#pragma once

#include "connection.hpp"
#include "world.hpp"

namespace adversary {

void create_database(const options& o);
void drop_database(const options& o);

// Connection parameters for the run's database.
std::string parameters(const options& o, const std::string& name);

}  // namespace adversary
