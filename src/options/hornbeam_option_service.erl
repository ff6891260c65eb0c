%%% A service: the type of the items of the option `services`.
%%%
%%% Reads {Name, #{target => Target, Key => Value}}, {Name, Target}, and the text "NAME=TARGET;key=value;key=value" that flags and
%%% environment variables use. A map of names to such maps is a list of them (hornbeam_option_types). Called through
%%% hornbeam_option_types; calls hornbeam_option_mount, since a service's workers may have what a mount's may, and hornbeam_option_table.
%%%
%%% Keys: target; processes, concurrency and queue, which are the options workers, max_concurrency and max_queue of its pool; and of the options
%%% marked "per mount" those that do not speak of HTTP.
-module(hornbeam_option_service).

-behaviour(hornbeam_option_types).

-export([check/1, from_table/2, key/0, from_entry/3, anchor/2, format/1, describe/0, limits/1, keys/0]).
-export_type([service/0]).

%% Options: what was given for this service, normalised, under the names of the table.
-type service() :: {Name :: binary(), Target :: binary(), Options :: #{atom() => term()}}.

-define(NAMES, [{processes, workers}, {concurrency, max_concurrency}, {queue, max_queue}]).
%% What a mount has and a service has no use for.
-define(NOT, [workers, worker_class, threads, factory, lifespan, timeout, affinity]).
%% Calls in progress in one process: as many threads may run its plain methods.
-define(CONCURRENCY, 32).
-define(QUEUE, 1000).

%% @doc The keys of a service besides `target'.
-spec keys() -> [atom()].
keys() ->
    [Key || {Key, _} <- ?NAMES]
        ++ [Key || #{key := Key, scope := mount} <- hornbeam_option_table:specs(), not lists:member(Key, ?NOT)].

%% @doc What a service does not have from its server: how many processes there are, how long they live, and how many calls they take.
-spec limits(#{atom() => term()}) -> #{atom() => term()}.
limits(Options) ->
    Own = #{workers => 1, max_concurrency => ?CONCURRENCY, max_queue => ?QUEUE, max_requests => infinity, max_requests_jitter => 0,
            max_worker_lifetime => infinity},
    maps:merge(Own, maps:with(maps:keys(Own), Options)).

-spec check(term()) -> {ok, service()} | hornbeam_option_types:problem().
check({Name, Given}) when is_map(Given); is_list(Given), is_tuple(hd(Given)) ->
    case hornbeam_option_mount:pairs(Given) of
        {ok, Pairs} -> with_target(Name, lists:partition(fun({Key, _}) -> is_target(Key) end, Pairs));
        error -> wrong()
    end;
check({Name, Target, Options}) ->
    case check_name(Name) of
        {ok, Text} ->
            case {hornbeam_option_types:check(app, Target), hornbeam_option_mount:pairs(Options)} of
                {{ok, T}, {ok, Pairs}} -> with_options(Text, T, Pairs);
                {_, error} -> in(Text, "its options must be a map or a property list");
                {{error, Problem, _}, _} -> in(Text, ["target ", Problem])
            end;
        Problem ->
            Problem
    end;
check({Name, Target}) ->
    check({Name, Target, []});
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} -> check_text(Text);
        _ -> wrong()
    end.

%% [services.NAME], a table of tables, or of texts as for --service; as an array, each says its name.
-spec from_table(#{binary() => term()}, Read) -> {binary(), term()} | none when Read :: fun((binary(), term()) -> {atom() | binary(), term()}).
from_table(Table, Read) ->
    case maps:take(key(), Table) of
        {Name, Service} -> from_entry(Name, Service, Read);
        error -> none
    end.

-spec key() -> binary().
key() -> <<"name">>.

-spec from_entry(binary(), term(), Read) -> {binary(), term()} when Read :: fun((binary(), term()) -> {atom() | binary(), term()}).
from_entry(Name, Service, Read) when is_map(Service) ->
    {Name, [case [Key || {Key, _} <- ?NAMES, atom_to_binary(Key) =:= Text] of
                [Own] -> {Own, Value};
                [] -> Read(Text, Value)
            end || {Text, Value} <- maps:to_list(Service)]};
from_entry(Name, Target, _Read) ->
    {Name, Target}.

is_target(Key) -> Key =:= target orelse Key =:= <<"target">>.

with_target(Name, {[{_, Target}], Pairs}) -> check({Name, Target, Pairs});
with_target(Name, _) ->
    case check_name(Name) of
        {ok, Text} -> in(Text, "there is no target");
        Problem -> Problem
    end.

check_name(Given) ->
    Text = case is_atom(Given) of true -> {ok, atom_to_binary(Given)}; false -> hornbeam_option_text:to_text(Given) end,
    case Text of
        {ok, Name} ->
            case re:run(Name, "^[a-zA-Z][a-zA-Z0-9_.-]{0,63}$", [dollar_endonly]) of
                {match, _} -> {ok, Name};
                nomatch -> bad_name(Given)
            end;
        error ->
            bad_name(Given)
    end.

bad_name(Given) -> {error, "has a name that must be of at most 64 letters, digits and \"_\", \"-\", \".\", and begin with a letter", Given}.

with_options(Name, Target, Pairs) ->
    case hornbeam_option_mount:overrides([renamed(Pair) || Pair <- Pairs], keys(), known(), #{}) of
        {ok, Options} -> {ok, {Name, Target, Options}};
        {error, Text} -> in(Name, Text)
    end.

renamed({Key, Value}) -> {proplists:get_value(Key, ?NAMES, Key), Value}.

%% The keys as the table has them, normalised ones too.
known() ->
    [proplists:get_value(Key, ?NAMES, Key) || Key <- keys()].

in(Name, Text) -> {error, ["in the service ", Name, ": ", Text]}.

check_text(Text) ->
    case hornbeam_option_mount:split(Text, [{atom_to_binary(Key), Option} || {Key, Option} <- ?NAMES]) of
        {ok, Name, Target, Pairs} -> check({Name, Target, Pairs});
        error -> wrong()
    end.

%% The value is not quoted: it may hold an `env` with secrets in it.
wrong() -> {error, ["must be ", describe()]}.

-spec anchor(service(), binary()) -> {ok, service()} | hornbeam_option_types:problem().
anchor({Name, Target, Options}, Base) ->
    case hornbeam_option_mount:anchor_all(Options, Base) of
        {ok, Anchored} -> {ok, {Name, Target, Anchored}};
        {error, Text} -> in(Name, Text)
    end.

-spec format(service()) -> hornbeam_option_toml:value().
format({Name, Target, Options}) ->
    Pairs = [{shown(Key), Value} || {Key, Value} <- hornbeam_option_mount:formatted(Options)],
    {table, [{<<"name">>, Name}, {<<"target">>, Target} | Pairs]}.

shown(Key) ->
    case lists:keyfind(Key, 2, ?NAMES) of
        {Own, _} -> atom_to_binary(Own);
        false -> atom_to_binary(Key)
    end.

-spec describe() -> iodata().
describe() -> "{Name, #{target => Target}} or \"NAME=TARGET[;KEY=VALUE]...\"".
