# Sources in runtime/cpu/isa/ are compiled once per x86-64 level (v2, v3, v4) into one binary; each copy lives in a
# namespace of its own (WANE_ISA_NAMESPACE) and is chosen at start. The arithmetic is the same in all of them, but for
# attention, products and linear algebra, which fuse multiply and add from v3 on; attention computes bf16 on AMX tiles
# where there are any.
set(WANE_ISA_FLAGS_v2 -march=x86-64-v2)
set(WANE_ISA_FLAGS_v3 -march=x86-64-v3)
set(WANE_ISA_FLAGS_v4 -march=x86-64-v4 -mprefer-vector-width=512)

function(wane_add_isa_variants target)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/runtime/cpu/isa/*.cpp)
  foreach(level v2 v3 v4)
    add_library(${target}_${level} OBJECT ${sources})
    target_include_directories(${target}_${level} PRIVATE ${CMAKE_SOURCE_DIR})
    target_compile_options(${target}_${level} PRIVATE ${WANE_ISA_FLAGS_${level}} -O3)
    target_compile_definitions(${target}_${level} PRIVATE WANE_ISA_NAMESPACE=isa_${level})
    target_link_libraries(${target}_${level} PRIVATE fmt::fmt)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${level}>)
  endforeach()
endfunction()
