# precompile(TARGET [HEADER...]) has what most sources of a target include parsed once: the headers named and the usual ones
# of the standard library. Sources go on including what they use, which the preset `tidy` builds without this shows.
function(precompile target)
  target_precompile_headers(
    ${target} PRIVATE <algorithm> <chrono> <condition_variable> <filesystem> <functional> <map> <memory> <mutex> <optional>
    <set> <stop_token> <string> <string_view> <thread> <vector> ${ARGN})
endfunction()
