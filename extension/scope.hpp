// Scopes instead of destructors: what a scope opens it closes after its body; when the body raises
// an ERROR, the transaction's own clean-up closes it. Nothing here catches anything.
#pragma once

#include "postgres.hpp"

namespace chancy {

// The owner of the extension's tables (table.cpp).
Oid owner();

// A body may be jumped over by an ERROR, so what it captures must not need a destructor.
template <typename Body>
concept jumpable = std::is_trivially_destructible_v<Body>;

// Runs body in a memory context of its own, freed afterwards.
template <jumpable Body>
auto with_memory(const char *name, Body body) {
    MemoryContext context = AllocSetContextCreateInternal(CurrentMemoryContext, name, ALLOCSET_DEFAULT_SIZES);
    MemoryContext outer = MemoryContextSwitchTo(context);
    if constexpr (std::is_void_v<decltype(body())>) {
        body();
        MemoryContextSwitchTo(outer);
        MemoryContextDelete(context);
    } else {
        auto result = body();
        static_assert(std::is_trivially_destructible_v<decltype(result)>);
        MemoryContextSwitchTo(outer);
        MemoryContextDelete(context);
        return result;
    }
}

// Runs body with the rights of the extension's owner. (Sub)transaction abort restores the user.
template <jumpable Body>
void with_owner(Body body) {
    Oid user;
    int context;
    GetUserIdAndSecContext(&user, &context);
    SetUserIdAndSecContext(owner(), context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    body();
    SetUserIdAndSecContext(user, context);
}

// Runs body inside an SPI connection.
template <jumpable Body>
void with_spi(Body body) {
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    body();
    SPI_finish();
}

}  // namespace chancy
