# Arm's GCC for a Cortex-M7; for another core: -DSNN_CORE=cortex-m4
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(SNN_CORE cortex-m7 CACHE STRING "the core to compile for")
set(CMAKE_C_FLAGS_INIT "-mcpu=${SNN_CORE} -mthumb -ffreestanding -ffunction-sections -fdata-sections")
