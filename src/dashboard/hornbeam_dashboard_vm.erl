%%% A page of the dashboard: the Erlang VM, its schedulers, memory, tables and the processes that take most.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_descriptors, hornbeam_dashboard_html; erlang, ets.
%%%
%%% Limits: of the processes ?LOOKED_AT are looked at, each time that the page is made: 20 ms of a core.
-module(hornbeam_dashboard_vm).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [table/3, facts/1, section/2, bytes/1, duration/1]).

-define(LOOKED_AT, 20000).
-define(SHOWN, 20).

-spec title() -> string().
title() -> "Erlang VM".

-spec live() -> pos_integer().
live() -> 5000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(_Context) ->
    [{live, <<"vm">>, vm()}, {live, <<"memory">>, memory()}, {live, <<"processes">>, processes_()}, {live, <<"tables">>, tables()}].

vm() ->
    {Uptime, _} = erlang:statistics(wall_clock),
    {Runtime, _} = erlang:statistics(runtime),
    {Collections, _, _} = erlang:statistics(garbage_collection),
    #{limit := Files} = hornbeam_descriptors:stats(),
    Of = fun(Number, Limit) -> iolist_to_binary(io_lib:format("~b of ~b", [erlang:system_info(Number), erlang:system_info(Limit)])) end,
    facts([{"OTP", list_to_binary(erlang:system_info(otp_release))}, {"Node", node()}, {"Up for", duration(Uptime)}, {"Processor time", duration(Runtime)},
           {"Schedulers", erlang:system_info(schedulers_online)},
           {"Run queues", iolist_to_binary(lists:join(" ", [integer_to_list(N) || N <- erlang:statistics(run_queue_lengths)]))},
           {"Processes", Of(process_count, process_limit)}, {"Ports", Of(port_count, port_limit)}, {"Atoms", Of(atom_count, atom_limit)},
           {"Open files at most", Files}, {"Garbage collections", Collections}]).

memory() ->
    section("Memory", table({"By kind", ""}, ["Kind", {number, "Bytes"}], [[Kind, bytes(Bytes)] || {Kind, Bytes} <- erlang:memory()])).

processes_() ->
    All = processes(),
    Sizes = [{Memory, Pid} || Pid <- lists:sublist(All, ?LOOKED_AT), {memory, Memory} <- [process_info(Pid, memory)]],
    Largest = lists:sublist(lists:reverse(lists:sort(Sizes)), ?SHOWN),
    section("Processes", table({"The largest", ""}, ["Process", "Is", "Now in", {number, "Memory"}, {number, "Messages"}, {number, "Reductions"}],
        [[list_to_binary(pid_to_list(Pid)), what(Pid, Info), function(proplists:get_value(current_function, Info)), bytes(Memory),
          proplists:get_value(message_queue_len, Info), proplists:get_value(reductions, Info)]
         || {Memory, Pid} <- Largest,
            Info <- [process_info(Pid, [registered_name, current_function, message_queue_len, reductions])], Info =/= undefined])).

what(Pid, Info) ->
    case proplists:get_value(registered_name, Info) of
        Name when is_atom(Name) -> Name;
        [] -> function(proc_lib:translate_initial_call(Pid))
    end.

function({Module, Function, Arity}) -> iolist_to_binary(io_lib:format("~tp:~tp/~b", [Module, Function, Arity]));
function(_) -> none.

tables() ->
    Word = erlang:system_info(wordsize),
    Sizes = [{Memory * Word, Table} || Table <- ets:all(), Memory <- [ets:info(Table, memory)], is_integer(Memory)],
    section("Tables", table({"The largest", ""}, ["Table", {number, "Entries"}, {number, "Memory"}],
        [[table_name(Table), Size, bytes(Memory)]
         || {Memory, Table} <- lists:sublist(lists:reverse(lists:sort(Sizes)), ?SHOWN), Size <- [ets:info(Table, size)], is_integer(Size)])).

table_name(Table) ->
    case ets:info(Table, name) of
        undefined -> none;
        Name -> Name
    end.
