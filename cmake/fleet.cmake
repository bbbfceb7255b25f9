# fleet_library(name SOURCES a.cc ... DEPS x y)   one library, includes from the root, warnings on
# fleet_binary(name SOURCES ... DEPS ...)         a program in build/<preset>/bin
# fleet_test(name SOURCES ... DEPS ...)           a GoogleTest program, run by ctest; LABELS for selection
# fleet_fuzz(name SOURCES ... DEPS ...)           a libFuzzer program, only with FLEET_FUZZ
# fleet_proto(name FILES ...)                     generated C++ of .proto files under proto/

add_library(fleet_flags INTERFACE)
target_include_directories(fleet_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(fleet_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers)
target_compile_definitions(fleet_flags INTERFACE FLEET_VERSION="${PROJECT_VERSION}")
if(FLEET_WERROR)
  target_compile_options(fleet_flags INTERFACE -Werror)
endif()
if(FLEET_SANITIZE)
  set(FLEET_SANITIZE_FLAGS -fsanitize=${FLEET_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  # C is only what tests load into other programs.
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${FLEET_SANITIZE_FLAGS}>")
  add_link_options($<$<LINK_LANGUAGE:CXX>:-fsanitize=${FLEET_SANITIZE}>)
endif()
if(FLEET_FUZZ)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)
endif()

function(fleet_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} fleet_flags)
endfunction()

function(fleet_binary name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} fleet_flags)
endfunction()

function(fleet_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main fleet_flags)
  # GCC 12 sees an overlap in GoogleTest's printer of protobuf messages that is not there (GCC bug 105651).
  target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()

function(fleet_fuzz name)
  if(NOT FLEET_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} fleet_flags)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
endfunction()

function(fleet_proto name)
  cmake_parse_arguments(ARG "" "" "FILES" ${ARGN})
  add_library(${name} STATIC)
  foreach(file ${ARG_FILES})
    string(REGEX REPLACE "\\.proto$" "" stem ${file})
    add_custom_command(
      OUTPUT ${CMAKE_BINARY_DIR}/${stem}.pb.cc ${CMAKE_BINARY_DIR}/${stem}.pb.h
      COMMAND protobuf::protoc --proto_path=${PROJECT_SOURCE_DIR}/proto --cpp_out=${CMAKE_BINARY_DIR}
              ${PROJECT_SOURCE_DIR}/proto/${file}
      DEPENDS ${PROJECT_SOURCE_DIR}/proto/${file})
    list(APPEND generated ${CMAKE_BINARY_DIR}/${stem}.pb.cc)
  endforeach()
  target_sources(${name} PRIVATE ${generated})
  target_include_directories(${name} SYSTEM PUBLIC ${CMAKE_BINARY_DIR})
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf)
endfunction()
