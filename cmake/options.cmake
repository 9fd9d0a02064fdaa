option(CRI_NSPAWN_TESTS "Build the unit tests" ON)
option(CRI_NSPAWN_FUZZ "Build the fuzz targets (needs clang)" OFF)
option(CRI_NSPAWN_FAULTS "Let tests have the daemon die at named steps (base/fault.h)" OFF)
set(CRI_NSPAWN_SANITIZE "" CACHE STRING "Sanitizers to build with, as in -fsanitize=")

# Flags of every program that runs on the host; the static programs (init, pause, spawner) set their own beside these.
add_library(project_flags INTERFACE)
target_compile_options(project_flags INTERFACE -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor
                                               -fstack-protector-strong)
# GCC 12 sees overlapping, endless and misplaced copies inside std::string where there are none, when it optimizes (GCC
# bugs 105651 and 105329); precompiled headers are no system headers to it.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(project_flags INTERFACE -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow)
endif()
target_compile_definitions(project_flags INTERFACE _FILE_OFFSET_BITS=64 CRI_NSPAWN_VERSION="${PROJECT_VERSION}")
target_include_directories(project_flags INTERFACE ${PROJECT_SOURCE_DIR})
if(CRI_NSPAWN_SANITIZE)
  target_compile_options(project_flags INTERFACE -fsanitize=${CRI_NSPAWN_SANITIZE} -fno-sanitize-recover=undefined
                                                 -fno-omit-frame-pointer -g)
  target_link_options(project_flags INTERFACE -fsanitize=${CRI_NSPAWN_SANITIZE})
  # GCC warns of the fences of Boost.Asio, which the sanitizer does not know; its locks it knows.
  if(CRI_NSPAWN_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(project_flags INTERFACE -Wno-tsan)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(project_flags INTERFACE -ffunction-sections -fdata-sections)
  target_compile_definitions(project_flags INTERFACE _FORTIFY_SOURCE=2)
  target_link_options(project_flags INTERFACE -Wl,--gc-sections -Wl,-z,relro,-z,now)
endif()
