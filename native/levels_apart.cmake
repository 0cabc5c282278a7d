# Run after linking: every weak symbol of a level's objects must carry the level's namespace in its name. One that does
# not (a std template, say) would be merged with that of the other levels, and the linker might keep the code of the
# higher instruction set for a processor that lacks it.
# NM: the tool; LEVEL: the namespace; OBJECTS: separated by |.
string(REPLACE "|" ";" OBJECTS "${OBJECTS}")
execute_process(COMMAND "${NM}" ${OBJECTS} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(LENGTH "${LEVEL}" length)
string(REGEX MATCHALL "[0-9a-fA-F]+ [WVu] [^\n]+" weak "${symbols}")
foreach(symbol ${weak})
  if(NOT symbol MATCHES "${length}${LEVEL}|DW\\.ref\\.__gxx_personality_v0")
    message(FATAL_ERROR "level ${LEVEL}: a weak symbol outside its namespace: ${symbol}")
  endif()
endforeach()
