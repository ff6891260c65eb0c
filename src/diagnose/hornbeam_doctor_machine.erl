%%% The machine, for `hornbeam doctor': versions, limits, memory, clock.
%%%
%%% Called by: hornbeam_doctor. Calls: hornbeam_descriptors, hornbeam_worker_memory (available/1). Runs timedatectl, where there is one.
-module(hornbeam_doctor_machine).

-export([examine/1, system/1, files/2, memory/1, clock/1]).

-define(OLDEST_OTP, 25).
%% A tenth.
-define(SHORT, 10).
%% What is open besides connections and what is kept back, about.
-define(OPEN, 48).

-spec examine(Config :: map()) -> [hornbeam_doctor:finding()].
examine(Config) ->
    system(os:type()) ++ [versions(), files(hornbeam_descriptors:limit(), Config) | memory(hornbeam_worker_memory:available("/"))] ++ [clock(synchronized())].

%% @doc Elsewhere much of this has no way to be known.
-spec system({unix | win32, atom()}) -> [hornbeam_doctor:finding()].
system({unix, linux}) -> [];
system({_, Name}) ->
    [{warning, ["system: ", atom_to_list(Name), ", where Hornbeam is not tested"],
      "There is no /proc as Linux has it: who uses an address, how much memory there is and what a worker takes cannot be told here, and the stack of a crash is not kept."}].

versions() ->
    Release = erlang:system_info(otp_release),
    Libraries = [[", ", atom_to_list(Library), $\s, Version] || Library <- [ranch, cowlib, cowboy], {ok, Version} <- [version(Library)]],
    {ok, Own} = version(hornbeam),
    What = ["Hornbeam ", Own, ", Erlang/OTP ", Release, Libraries],
    case list_to_integer(Release) >= ?OLDEST_OTP of
        true -> {ok, What, ""};
        false -> {wrong, What, "Erlang/OTP 25 or newer is needed."}
    end.

version(Application) ->
    _ = application:load(Application),
    case application:get_key(Application, vsn) of
        {ok, Version} -> {ok, Version};
        undefined -> error
    end.

%% @doc Whether so many files are enough.
-spec files(Limit :: pos_integer(), Config :: map()) -> hornbeam_doctor:finding().
files(Limit, #{max_connections := Max} = Config) ->
    Room = Limit - hornbeam_descriptors:kept(Config) - ?OPEN,
    What = io_lib:format("open files: ~b, which leaves room for about ~b connections (max_connections: ~p)", [Limit, max(0, Room), Max]),
    if
        Room < 16 -> {wrong, What, io_lib:format("Raise the hard limit of open files (ulimit -Hn; LimitNOFILE in a systemd unit) to ~b or more.", [Limit + 1024 - Room])};
        is_integer(Max), Room < Max -> {warning, What, io_lib:format("More are refused. Raise the hard limit (ulimit -Hn, LimitNOFILE) to ~b, or lower max_connections.", [Limit + Max - Room])};
        true -> {ok, What, ""}
    end.

%% @doc As hornbeam_worker_memory:available/1 says it.
-spec memory([{Available :: integer(), Total :: pos_integer()}]) -> [hornbeam_doctor:finding()].
memory([]) ->
    [];
memory(Available) ->
    [Tightest | _] = lists:sort(fun({A, T}, {B, U}) -> A * U =< B * T end, Available),
    {Free, Total} = Tightest,
    What = io_lib:format("memory: ~b of ~b MB available", [Free div 1000000, Total div 1000000]),
    case Free * ?SHORT < Total of
        true -> [{warning, What, "Less than a tenth is left, of the machine or of the control group: give it more, or run fewer workers."}];
        false -> [{ok, What, ""}]
    end.

synchronized() ->
    string:trim(os:cmd("timedatectl show -p NTPSynchronized --value 2>/dev/null")).

%% @doc What timedatectl says of NTP.
-spec clock(string()) -> hornbeam_doctor:finding().
clock("yes") -> {ok, "clock: kept right by NTP", ""};
clock("no") -> {warning, "clock: not kept right by NTP", "Turn NTP on (timedatectl set-ntp true, or chrony). Certificates, schedules, cookies and a cluster's leases depend on the time."};
clock(_) -> {ok, ["clock: ", calendar:system_time_to_rfc3339(erlang:system_time(second), [{offset, "Z"}]), "; whether NTP keeps it right cannot be told here"], ""}.
