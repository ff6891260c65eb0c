%%% The flags of uvicorn, gunicorn, hypercorn and granian, and what each means here: an option of hornbeam_option_table, or an error that says
%%% what to use instead.
%%%
%%% Called by: hornbeam_option_sources (flags, variables), hornbeam_option_coming_from (docs/coming-from.md). Calls
%%% hornbeam_option_alias_table (the flags), hornbeam_option_alias_values (what is computed of values). Pure.
%%%
%%% What a flag does is a list of settings:
%%%
%%%   {Key, Text}              as if the option's own flag had been given with the text
%%%   {implied, Key, Text}     unless the command line says otherwise
%%%   {empty, Key}             the option, a list, has nothing in it, whatever else the command line says
%%%   {part, Part, Text}       of what several flags say together: finish/2 makes settings of them
%%%
%%% An option's own flag is what counts where a flag is both, but for those that only take more here than the option would ({more, Rule}).
-module(hornbeam_option_aliases).

-export([find/1, names/0, takes/2, settings/3, finish/2, variables/0]).
-export_type([tool/0, alias/0, rule/0, setting/0, part/0]).

-type tool() :: uvicorn | gunicorn | hypercorn | granian.
-type part() :: host | port | ping_timeout.
-type setting() :: {atom(), string()} | {implied, atom(), string()} | {empty, atom()} | {part, part(), string()}.
-type rule() ::
    same | unlike                                           % the option's own flag; with another unit or meaning there
    | {to, Key :: atom()}                                   % the value is the option's
    | {to, Key :: atom(), fun((string()) -> {ok, string() | [string()]} | {error, iodata()})}
    | {by, Keys :: [atom()], fun((string()) -> {ok, [setting()]} | {error, iodata()})}
    | {words, [{Words :: [string()], [setting()] | {refuse, string()}}]}
    | {optional, Alone :: [setting()], {words, [{Words :: [string()], [setting()] | {refuse, string()}}]}}
    | {sets, [setting()]}                                   % it takes no value
    | {part, part()}
    | {more, rule()}
    | {refuse, Instead :: string()}.
-type alias() :: {Flags :: [string(), ...], [tool(), ...], rule(), Note :: string()}.

%% @doc A flag with its dashes.
-spec find(string()) -> {ok, rule()} | error.
find(Flag) ->
    case [Rule || {Flags, _, Rule, _} <- hornbeam_option_alias_table:all(), lists:member(Flag, Flags)] of
        [Rule | _] -> {ok, Rule};
        [] -> error
    end.

%% @doc Those that may be meant by one that is unknown.
-spec names() -> [string()].
names() ->
    [Flag || {Flags, _, _, _} <- hornbeam_option_alias_table:all(), "--" ++ _ = Flag <- Flags].

%% @doc Whether it takes a value; Next: the argument behind it.
-spec takes(rule(), Next :: [string()]) -> boolean().
takes({more, Rule}, Next) -> takes(Rule, Next);
takes({sets, _}, _Next) -> false;
takes({refuse, _}, _Next) -> false;
takes({optional, _, {words, Words}}, Next) ->
    Next =/= [] andalso lists:member(string:lowercase(hd(Next)), lists:append([W || {W, _} <- Words]));
takes(_Rule, _Next) -> true.

%% @doc What a flag does, with the value that it has taken.
-spec settings(Flag :: string(), rule(), Value :: string() | none) -> {ok, [setting()]} | {error, iodata()}.
settings(Flag, {more, Rule}, Value) -> settings(Flag, Rule, Value);
settings(Flag, {refuse, Instead}, _) -> {error, [Flag, " is not taken here: ", Instead]};
settings(_, {sets, Settings}, none) -> {ok, Settings};
settings(Flag, {sets, _}, _) -> {error, ["the flag ", Flag, " takes no value"]};
settings(_, {optional, Alone, _}, none) -> {ok, Alone};
settings(Flag, _, none) -> {error, ["the flag ", Flag, " needs a value"]};
settings(Flag, {optional, _, Words}, Value) -> settings(Flag, Words, Value);
settings(_, {to, Key}, Value) -> {ok, [{Key, Value}]};
settings(Flag, {to, Key, Translate}, Value) ->
    case Translate(Value) of
        {ok, [First | _] = Texts} when is_list(First) -> {ok, [{Key, Text} || Text <- Texts]};
        {ok, Text} -> {ok, [{Key, Text}]};
        {error, Text} -> wrong(Flag, Text, Value)
    end;
settings(Flag, {by, _, Translate}, Value) ->
    case Translate(Value) of
        {ok, Settings} -> {ok, Settings};
        {error, Text} -> wrong(Flag, Text, Value)
    end;
settings(Flag, {part, ping_timeout}, Value) ->
    case hornbeam_option_alias_values:seconds(Value) of
        {ok, Ms} -> {ok, [{part, ping_timeout, Ms}]};
        {error, Text} -> wrong(Flag, Text, Value)
    end;
settings(_, {part, Part}, Value) -> {ok, [{part, Part, Value}]};
settings(Flag, {words, Words}, Value) ->
    Lower = string:lowercase(Value),
    case [Does || {Names, Does} <- Words, lists:member(Lower, Names)] of
        [{refuse, Instead} | _] -> {error, [Flag, " ", Value, " is not taken here: ", Instead]};
        [Settings | _] -> {ok, Settings};
        [] ->
            Taken = lists:append([Names || {Names, Does} <- Words, is_list(Does)]),
            wrong(Flag, ["must be ", hornbeam_option_text:enumerate(Taken)], Value)
    end.

wrong(Flag, Text, Value) -> {error, ["the flag ", Flag, " ", Text, ", got ", hornbeam_option_text:show(Value)]}.

%% @doc What the parts make together, beside what else was given: Given answers with the last text of an option.
-spec finish(#{part() => string()}, Given :: fun((atom()) -> {ok, string()} | error)) -> {ok, [setting()]} | {error, iodata()}.
finish(Parts, Given) ->
    case address(Parts, Given(bind)) of
        {ok, Settings} -> {ok, Settings ++ ping(Parts, Given(websocket_ping_interval))};
        {error, Text} -> {error, Text}
    end.

address(Parts, Bind) when is_map_key(host, Parts); is_map_key(port, Parts) ->
    Host = maps:get(host, Parts, "127.0.0.1"),
    Port = maps:get(port, Parts, "8000"),
    case {Bind, is_ipv6(Host)} of
        {{ok, _}, _} -> {error, "--host and --port make one address: give either them, or --bind, --uds or --fd"};
        {error, true} -> {ok, [{bind, "[" ++ Host ++ "]:" ++ Port}]};
        {error, false} -> {ok, [{bind, Host ++ ":" ++ Port}]}
    end;
address(_, _) ->
    {ok, []}.

is_ipv6(Host) -> lists:member($:, Host) andalso hd(Host) =/= $[.

%% A client whose answer to a ping has not come for so long has said nothing since the ping before it, at most.
ping(#{ping_timeout := Ms}, Interval) ->
    Every = case Interval of {ok, Text} -> Text; error -> "20000" end,
    case string:to_integer(Every) of
        {Number, ""} -> [{implied, websocket_timeout, integer_to_list(Number + list_to_integer(Ms))}];
        _ -> []
    end;
ping(_, _) ->
    [].

%% @doc Environment variables that platforms set: weaker than those of the options.
-spec variables() -> [{Name :: string(), Key :: atom(), fun((string()) -> string())}].
variables() ->
    [{"WEB_CONCURRENCY", workers, fun(Text) -> Text end},
     {"PORT", bind, fun(Port) -> "0.0.0.0:" ++ Port end}].
