#include "dpkg.hpp"

#include <openssl/evp.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace demo {
namespace {

const std::string dpkg = "/var/lib/dpkg/";

// /bin and /usr/bin are one folder today, while lists name either.
std::string merged(const std::string& path) { return path.starts_with("/usr/") ? path.substr(4) : path; }

class md5 {
public:
    md5() : m_context(EVP_MD_CTX_new(), EVP_MD_CTX_free), m_block(1 << 18) {}

    // The sum of a file in hexadecimal; empty if it cannot be read, errno says why.
    std::string of(const std::string& path, long long& bytes) {
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) return {};
        if (EVP_DigestInit_ex(m_context.get(), EVP_md5(), nullptr) != 1) throw std::runtime_error("OpenSSL offers no MD5 here");
        ssize_t n = 0;
        while ((n = ::read(fd, m_block.data(), m_block.size())) > 0) {
            EVP_DigestUpdate(m_context.get(), m_block.data(), static_cast<std::size_t>(n));
            bytes += n;
        }
        const int problem = errno;
        ::close(fd);
        if (n < 0) {
            errno = problem;
            return {};
        }
        unsigned char sum[EVP_MAX_MD_SIZE];
        unsigned int size = 0;
        EVP_DigestFinal_ex(m_context.get(), sum, &size);
        std::string text;
        for (unsigned int i = 0; i < size; ++i)
            for (const int digit : {sum[i] >> 4, sum[i] & 15}) text += "0123456789abcdef"[digit];
        return text;
    }

private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> m_context;
    std::vector<char> m_block;
};

}  // namespace

std::vector<std::string> installed_packages() {
    std::ifstream status(dpkg + "status");
    if (!status) throw std::runtime_error("cannot read " + dpkg + "status: is this a Debian machine?");
    std::vector<std::string> out;
    std::string line, name, architecture;
    bool installed = false, side_by_side = false;
    const auto value = [&](const char* key) {
        return line.starts_with(key) ? line.substr(std::char_traits<char>::length(key)) : std::string();
    };
    while (true) {
        const bool more = static_cast<bool>(std::getline(status, line));
        if (!more || line.empty()) {  // the end of a paragraph
            if (installed) out.push_back(side_by_side ? name + ':' + architecture : name);
            installed = side_by_side = false;
            if (!more) return out;
        } else if (auto v = value("Package: "); !v.empty()) {
            name = v;
        } else if (v = value("Architecture: "); !v.empty()) {
            architecture = v;
        } else if (line == "Multi-Arch: same") {
            side_by_side = true;
        } else if (line.starts_with("Status: ") && line.ends_with(" installed")) {
            installed = true;
        }
    }
}

diversions read_diversions() {
    std::ifstream file(dpkg + "diversions");
    diversions out;
    std::string from, to, package;
    while (std::getline(file, from) && std::getline(file, to) && std::getline(file, package))
        out[merged(from)] = {to, package};
    return out;
}

report verify(const std::string& package, const diversions& moved, const chancy::job_context& job) {
    std::ifstream list(dpkg + "info/" + package + ".md5sums");  // a package without files has none
    const std::string bare = package.substr(0, package.find(':'));
    md5 sum;
    report out;
    std::string line;
    while (std::getline(list, line)) {
        job.check_cancelled();
        if (line.size() < 35) continue;
        std::string path = '/' + line.substr(34);
        if (const auto away = moved.find(merged(path)); away != moved.end() && away->second.package != bare) {
            path = away->second.to;
            ++out.diverted;
        }
        ++out.files;
        const std::string found = sum.of(path, out.bytes);
        if (!found.empty()) {
            if (line.compare(0, 32, found) != 0) out.mismatched.push_back(path);
        } else if (errno == ENOENT || errno == ENOTDIR) {
            ++out.missing;
        } else {
            ++out.unreadable;
        }
    }
    return out;
}

void to_json(chancy::json& out, const report& in) {
    out = {{"files", in.files},     {"bytes", in.bytes},       {"mismatched", in.mismatched},
           {"missing", in.missing}, {"diverted", in.diverted}, {"unreadable", in.unreadable}};
}

void from_json(const chancy::json& in, report& out) {
    in.at("files").get_to(out.files);
    in.at("bytes").get_to(out.bytes);
    in.at("mismatched").get_to(out.mismatched);
    in.at("missing").get_to(out.missing);
    in.at("diverted").get_to(out.diverted);
    in.at("unreadable").get_to(out.unreadable);
}

void add(report& to, const report& more) {
    to.files += more.files;
    to.bytes += more.bytes;
    to.mismatched.insert(to.mismatched.end(), more.mismatched.begin(), more.mismatched.end());
    to.missing += more.missing;
    to.diverted += more.diverted;
    to.unreadable += more.unreadable;
}

}  // namespace demo
