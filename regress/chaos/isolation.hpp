// Namespaces of our own, so that what is done to a network or a file system is done to nobody else. To be called before
// there are other threads. std::system_error where the machine forbids it.
#pragma once

#include <string>

namespace chaos {

void isolate_network();           // a loopback of our own, which is up
void set_loopback(bool up);
void mount_small(const std::string& path, int megabytes);  // an empty file system there

}  // namespace chaos
