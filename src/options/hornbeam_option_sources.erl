%%% Where options come from besides a map: environment variables, flags of the command line, sys.config.
%%%
%%% Pure functions of a table of options, so that tests can pass their own. Called by hornbeam_options (and
%%% hornbeam_option_docs for the names); calls hornbeam_option_types and hornbeam_option_text. Values are checked and
%%% normalised here, so that an error says where the value stands; paths are anchored later, by validate/1.
-module(hornbeam_option_sources).

-export([env/2, args/2, app_env/2, flag/1, variable/1]).

-type spec() :: hornbeam_option_types:spec().
-type error() :: {error, hornbeam_options:error()}.

%% --- environment variables -----------------------------------------------------------------------------------------

-spec env(fun((string()) -> string() | false), [spec()]) -> {ok, map()} | error().
env(Getenv, Specs) ->
    Set = [{Spec, Text} || Spec <- Specs, Text <- [Getenv(variable(Spec))], Text =/= false, Text =/= ""],
    Given = [{Spec, hornbeam_option_types:split(Type, Text)} || {#{type := Type} = Spec, Text} <- Set],
    read(fun(#{type := Type}, Texts) -> hornbeam_option_types:parse(Type, Texts) end,
         fun(Spec) -> ["environment variable ", variable(Spec)] end,
         [Item || {_, [_ | _]} = Item <- Given], #{}).

-spec variable(spec()) -> string().
variable(#{key := Key}) -> "HORNBEAM_" ++ string:uppercase(atom_to_list(Key)).

%% --- sys.config ----------------------------------------------------------------------------------------------------

%% Every key of the application's environment must be an option, so that a misspelt one is noticed;
%% included_applications is what OTP itself puts there.
-spec app_env([{atom(), term()}], [spec()]) -> {ok, map()} | error().
app_env(Env, Specs) ->
    Known = maps:from_list([{Key, Spec} || #{key := Key} = Spec <- Specs]),
    Given = proplists:delete(included_applications, Env),
    case [Key || {Key, _} <- Given, not is_map_key(Key, Known)] of
        [] ->
            read(fun(_, Value) -> Value end, fun(_) -> "sys.config" end,
                 [{maps:get(Key, Known), Value} || {Key, Value} <- Given], #{});
        [Unknown | _] ->
            Names = hornbeam_option_text:names(maps:keys(Known)),
            Text = ["there is no such option", hornbeam_option_text:suggest(Unknown, Names), " (sys.config)"],
            {error, {bad_option, Unknown, unicode:characters_to_binary(Text)}}
    end.

%% --- flags ---------------------------------------------------------------------------------------------------------

%% A flag that stands for a list may be repeated; of any other the last one counts. "--" ends the flags.
-spec args([string()], [spec()]) ->
    {ok, Positional :: [string()], map()} | error() | {error, {usage, binary()}}.
args(Args, Specs) ->
    case [Arg || Arg <- Args, hornbeam_option_text:to_text(Arg) =:= error] of
        [] -> text_args(Args, Specs);
        _ -> {error, {usage, <<"an argument is not Unicode text">>}}
    end.

text_args(Args, Specs) ->
    Flags = maps:from_list(lists:flatmap(fun flags/1, Specs)),
    case split_args(Args, Flags, [], []) of
        {ok, Positional, Given} ->
            Parse = fun(#{type := Type}, Texts) -> hornbeam_option_types:parse(Type, Texts) end,
            case read(Parse, fun(Spec) -> ["flag --", flag(Spec)] end, Given, #{}) of
                {ok, Map} -> {ok, Positional, Map};
                Error -> Error
            end;
        {error, Text} ->
            {error, {usage, unicode:characters_to_binary(Text)}}
    end.

%% The flag's name without the dashes.
-spec flag(spec()) -> string().
flag(#{flag := Flag}) -> Flag;
flag(#{key := Key}) -> [case C of $_ -> $-; _ -> C end || C <- atom_to_list(Key)].

flags(#{type := Type} = Spec) when Type =:= boolean; Type =:= {auto, boolean} -> [{flag(Spec), {Spec, "true"}}, {"no-" ++ flag(Spec), {Spec, "false"}}];
flags(Spec) -> [{flag(Spec), {Spec, value}}].

split_args(["--" | Rest], _, Positional, Given) ->
    {ok, lists:reverse(Positional, Rest), in_order(Given)};
split_args(["--" ++ Flag | Rest], Flags, Positional, Given) ->
    case take_flag(string:split(Flag, "="), Rest, Flags) of
        {ok, Spec, Text, Left} -> split_args(Left, Flags, Positional, add(Spec, Text, Given));
        {error, Text} -> {error, Text}
    end;
split_args([[$-, _ | _] = Flag | _], Flags, _, _) ->
    {error, unknown(Flag, Flags)};
split_args([Arg | Rest], Flags, Positional, Given) ->
    split_args(Rest, Flags, [Arg | Positional], Given);
split_args([], _, Positional, Given) ->
    {ok, lists:reverse(Positional), in_order(Given)}.

take_flag([Name | Value], Rest, Flags) ->
    case {Flags, Value, Rest} of
        {#{Name := {Spec, value}}, [Text], _} -> {ok, Spec, Text, Rest};
        {#{Name := {_, value}}, [], ["--" ++ _ | _]} -> {error, ["the flag --", Name, " needs a value"]};
        {#{Name := {Spec, value}}, [], [Text | Left]} -> {ok, Spec, Text, Left};
        {#{Name := {_, value}}, [], []} -> {error, ["the flag --", Name, " needs a value"]};
        {#{Name := {Spec, Text}}, [], _} -> {ok, Spec, Text, Rest};
        {#{Name := {Spec, "true"}}, [Text], _} -> {ok, Spec, Text, Rest};
        {#{Name := {_, "false"}}, [_], _} -> {error, ["the flag --", Name, " takes no value"]};
        _ -> {error, unknown("--" ++ Name, Flags)}
    end.

unknown(Flag, Flags) ->
    ["unknown flag ", Flag, hornbeam_option_text:suggest(Flag, ["--" ++ Name || Name <- maps:keys(Flags)])].

%% The list is short: it holds the different flags that one command line gives. The texts of each are last first.
add(#{key := Key} = Spec, Text, Given) ->
    case lists:search(fun({#{key := K}, _}) -> K =:= Key end, Given) of
        {value, {_, Texts} = Old} -> [{Spec, [Text | Texts]} | lists:delete(Old, Given)];
        false -> [{Spec, [Text]} | Given]
    end.

in_order(Given) ->
    lists:foldl(fun({Spec, Texts}, Done) -> [{Spec, lists:reverse(Texts)} | Done] end, [], Given).

%% --- all three -----------------------------------------------------------------------------------------------------

read(Parse, Where, [{#{key := Key} = Spec, Given} | Rest], Done) ->
    case hornbeam_option_types:value(Spec, Parse(Spec, Given)) of
        {ok, Value} ->
            read(Parse, Where, Rest, Done#{Key => Value});
        {error, {bad_option, Key, Reason}} ->
            {error, {bad_option, Key, unicode:characters_to_binary([Reason, " (", Where(Spec), ")"])}}
    end;
read(_, _, [], Done) ->
    {ok, Done}.
