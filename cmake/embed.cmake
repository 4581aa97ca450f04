# Embeds the text files of a folder in a target: a generated source defines `const EmbeddedFile name[]` and
# `const size_t name_count` (runtime/embedded.h), so that the binary needs no files beside it.
function(wane_embed target label symbol folder)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${folder}/*.lua ${folder}/*.h ${folder}/*.cuh ${folder}/*.cu)
  set(output ${CMAKE_BINARY_DIR}/embedded_${label}.cpp)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${output} -DSYMBOL=${symbol} -DFOLDER=${folder} "-DFILES=${files}"
            -P ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake
    DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake
    VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
