%%% What two nodes tell each other first, and whether they belong together. Called by hornbeam_cluster_links. Pure.
%%%
%%% Each node says which protocols it speaks, from `oldest' to `protocol'; the newest that both speak is used. So a node of the next version that still speaks
%%% ours can take its place among us, and one that does not is told so. Keys that are not known are ignored: later versions may say more.
-module(hornbeam_cluster_hello).

-export([mine/1, judge/2, explain/1]).
-export_type([hello/0, refusal/0]).

%% A suite compiles it with others.
-ifndef(PROTOCOL).
-define(PROTOCOL, 1).
-define(OLDEST, 1).
-endif.

-type hello() :: #{protocol := pos_integer(), oldest := pos_integer(), name := binary(), machine := non_neg_integer(), version := binary(), otp := binary(),
                   spoken => pos_integer()}. % with this node: as judge/2 has found
-type refusal() :: {other_cluster, binary()} | {no_protocol, Theirs :: {pos_integer(), pos_integer()}, Ours :: {pos_integer(), pos_integer()}} | not_understood.

%% @doc What this node says. Machine: the version of the replicated state's machine.
-spec mine(#{cluster_name := atom(), machine := non_neg_integer(), _ => _}) -> hello().
mine(#{cluster_name := Name, machine := Machine}) ->
    #{protocol => ?PROTOCOL, oldest => ?OLDEST, name => atom_to_binary(Name), machine => Machine, version => version(),
      otp => list_to_binary(erlang:system_info(otp_release))}.

version() ->
    case application:get_key(hornbeam, vsn) of
        {ok, Version} -> list_to_binary(Version);
        undefined -> <<"unknown">>
    end.

%% @doc Whether the other one belongs to this cluster, and what it said, with the protocol that is spoken with it.
-spec judge(Theirs :: term(), Mine :: hello()) -> {ok, hello()} | {error, refusal()}.
judge(#{name := Name}, #{name := Mine}) when Name =/= Mine, is_binary(Name) ->
    {error, {other_cluster, Name}};
judge(#{name := Name, protocol := Newest, oldest := Oldest} = Theirs, #{protocol := OurNewest, oldest := OurOldest})
        when is_binary(Name), is_integer(Newest), is_integer(Oldest) ->
    case min(Newest, OurNewest) of
        Protocol when Protocol >= Oldest, Protocol >= OurOldest -> {ok, (told(Theirs))#{spoken => Protocol}};
        _ -> {error, {no_protocol, {Oldest, Newest}, {OurOldest, OurNewest}}}
    end;
judge(_, _) ->
    {error, not_understood}.

told(#{name := Name, protocol := Newest, oldest := Oldest} = Theirs) ->
    #{name => Name, protocol => Newest, oldest => Oldest, machine => number(maps:get(machine, Theirs, 0)),
      version => text(maps:get(version, Theirs, unknown)), otp => text(maps:get(otp, Theirs, unknown))}.

number(Number) when is_integer(Number), Number >= 0 -> Number;
number(_) -> 0.

text(Text) when is_binary(Text), byte_size(Text) =< 64 -> Text;
text(_) -> <<"unknown">>.

%% @doc Why a node was not taken, for a person.
-spec explain(refusal()) -> unicode:chardata().
explain({other_cluster, Name}) ->
    ["it belongs to the cluster ", io_lib:format("~tp", [binary_to_list(Name)])];
explain({no_protocol, {TheirOldest, TheirNewest}, {OurOldest, OurNewest}}) ->
    io_lib:format("it speaks protocols ~b to ~b, this node ~b to ~b", [TheirOldest, TheirNewest, OurOldest, OurNewest]);
explain(not_understood) ->
    "what it says of itself is not understood".
