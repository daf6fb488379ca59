// Each program in examples/, run.
#include "support.hpp"

namespace {

class example : public test::db_test {
protected:
    static std::string run(const std::string& name) {
        const auto r = test::shell(EXAMPLES "/" + name);
        EXPECT_EQ(r.code, 0) << r.err;
        return r.out;
    }
};

}  // namespace

TEST_F(example, hello) { EXPECT_EQ(run("example-hello"), "Hello, world!\n"); }

TEST_F(example, async) { EXPECT_EQ(run("example-async"), "12 squared is 144\n101 jobs\n"); }

TEST_F(example, transaction) { EXPECT_EQ(run("example-transaction"), "order.confirm {\"order\":2}\n"); }

TEST_F(example, handlers) {
    EXPECT_EQ(run("example-handlers"),
              "flaky: succeeded after 2 attempts\n"
              "sleepy: succeeded after 1 attempts\n"
              "hopeless: failed after 1 attempts\n"
              "endless: failed\n");
}

TEST_F(example, middleware) {
    EXPECT_EQ(run("example-middleware"),
              "{\"attempt\":0,\"event\":\"begin\",\"func\":\"flaky\",\"new span\":true,\"parent\":\"00f067aa0ba902b7\",\"trace\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}\n"
              "{\"error\":\"the first try always fails\",\"event\":\"error\",\"func\":\"flaky\"}\n"
              "{\"event\":\"end\",\"func\":\"flaky\",\"outcome\":\"failed\",\"slow\":false}\n"
              "{\"attempt\":1,\"event\":\"begin\",\"func\":\"flaky\",\"new span\":true,\"parent\":\"00f067aa0ba902b7\",\"trace\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}\n"
              "{\"event\":\"end\",\"func\":\"flaky\",\"outcome\":\"succeeded\",\"slow\":false}\n");
}
