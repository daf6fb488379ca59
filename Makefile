# The extension, with PGXS. Client, command line and all tests: CMakeLists.txt.
#   make PG_CONFIG=/usr/lib/postgresql/17/bin/pg_config    for a server other than the first in PATH

EXTENSION   = chancy
MODULE_big  = chancy
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" chancy.control)

# sql/*.sql becomes one script: the files of FIRST in this order, the rest by name.
FIRST       = sql/tables.sql
SQL        := $(wildcard $(FIRST)) $(filter-out $(FIRST),$(sort $(wildcard sql/*.sql)))

# The way here from the version before: what is new since then whole, what has changed as it says in its folder. With
# the next version this script is kept in sql/upgrade as it is built now.
BEFORE      = 0.1
IN_BEFORE   = cancel event fetch maintenance pruner push queue recovery retry role tables update worker
CHANGES    := $(wildcard sql/upgrade/$(BEFORE)--$(EXTVERSION)/*.sql)
UPGRADE    := $(foreach name,lock tables $(filter-out lock tables,$(sort $(basename $(notdir $(SQL) $(CHANGES))))),\
                $(filter %/$(name).sql,$(CHANGES)) $(if $(filter $(name),$(IN_BEFORE)),,$(filter sql/$(name).sql,$(SQL))))

DATA_built  = build/chancy--$(EXTVERSION).sql build/chancy--$(BEFORE)--$(EXTVERSION).sql
DATA       := $(wildcard sql/upgrade/chancy--*.sql)

OBJS       := $(patsubst %.cpp,build/%.o,$(sort $(wildcard extension/*.cpp)))
EXTRA_CLEAN = build/extension build/chancy--*.sql build/exports.map build/server_version

# A server ERROR is a longjmp: nothing in the extension may need unwinding, so nothing may throw.
PG_CXXFLAGS = -std=c++20 -fno-exceptions -fno-rtti -fno-threadsafe-statics -Wall -Wextra
# What SQL calls is visible, nothing else. Servers before 16 leave PGDLLEXPORT empty; and templates of std:: are
# visible whatever the flags say, hence the map. PGXS links with the C compiler, so no libstdc++ comes in.
PG_CXXFLAGS += -fvisibility=hidden -fvisibility-inlines-hidden
PG_CPPFLAGS = -DCHANCY_VERSION='"$(EXTVERSION)"' -D'PGDLLEXPORT=__attribute__((visibility("default")))'
SHLIB_LINK  = -Wl,--version-script=build/exports.map

# The JIT's bitcode would be compiled by clang, with other rules.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS's own rule has no dependency tracking on Debian and shows the warnings of the server's headers.
build/extension/%.o: extension/%.cpp build/server_version chancy.control Makefile
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(patsubst -I/%,-isystem /%,$(CPPFLAGS)) -MMD -MP -c -o $@ $<

-include $(OBJS:.o=.d)

# The folders themselves are prerequisites: a file that goes away counts too.
chancy.so: extension build/exports.map

build/exports.map: Makefile
	@mkdir -p $(@D)
	echo '{ local: _Z*; };' > $@

build/chancy--$(EXTVERSION).sql: $(SQL) sql chancy.control Makefile
	@mkdir -p $(@D)
	{ printf '%s\n' '\echo Use "CREATE EXTENSION chancy" to load this file. \quit'; cat $(SQL); } > $@

build/chancy--$(BEFORE)--$(EXTVERSION).sql: $(UPGRADE) sql sql/upgrade/$(BEFORE)--$(EXTVERSION) chancy.control Makefile
	@mkdir -p $(@D)
	{ printf '%s\n' '\echo Use "ALTER EXTENSION chancy UPDATE" to load this file. \quit'; cat $(UPGRADE); } > $@

# Objects of one server version are no good for another.
build/server_version: FORCE
	@mkdir -p $(@D)
	@$(PG_CONFIG) --version | cmp -s - $@ || $(PG_CONFIG) --version > $@
FORCE:
.PHONY: FORCE
