# cmake -DROS_VENV=<venv> -DCMAKE_PROJECT_INCLUDE=<this file>: build an interface package against
# the ROS wheels of a virtual environment, and install it there.

set(Python3_EXECUTABLE "${ROS_VENV}/bin/python")
set(ENV{AMENT_PREFIX_PATH} "${ROS_VENV}")  # where ament looks for its resource index
list(PREPEND CMAKE_PREFIX_PATH "${ROS_VENV}")
set(CMAKE_INSTALL_PREFIX "${ROS_VENV}" CACHE PATH "" FORCE)

# The __rosidl_generator_py targets of the wheels export include paths of the machine that built
# them, and CMake rejects targets with paths that do not exist.
function(drop_missing_includes)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  list(FILTER targets INCLUDE REGEX "__rosidl_generator_py$")
  foreach(target IN LISTS targets)
    get_target_property(paths ${target} INTERFACE_INCLUDE_DIRECTORIES)
    set(existing "")
    foreach(path IN LISTS paths)
      if(IS_DIRECTORY "${path}")
        list(APPEND existing "${path}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${existing}")
  endforeach()
endfunction()
cmake_language(DEFER CALL drop_missing_includes)
