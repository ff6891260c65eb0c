%%% A folder of static files: the type of the items of the option `static`.
%%%
%%% Reads {Prefix, Folder}, {Prefix, Folder, Options} and the text "PREFIX=FOLDER;key=value;key=value" that flags and environment
%%% variables use. Called through hornbeam_option_types; by hornbeam_static (with_defaults/1). Calls hornbeam_option_types, hornbeam_option_text.
-module(hornbeam_option_static).

-behaviour(hornbeam_option_types).

-export([check/1, from_table/2, key/0, from_entry/3, split/1, anchor/2, format/1, describe/0, with_defaults/1, different_prefixes/1]).
-export_type([static/0, options/0]).

%% Prefix begins with "/" and ends with it only when it is "/". The options are those that were given.
-type static() :: {Prefix :: binary(), Folder :: binary(), options()}.
-type options() :: #{cache_control => binary(), immutable => binary(), fallback => binary(), fallthrough => auto | boolean(),
                     index => binary(), precompressed => boolean(), well_known => boolean()}.

%% Names that a bundler or Django's ManifestStaticFilesStorage has put a hash into: eight or more hexadecimal digits, a letter and a digit
%% among them (no date); below /assets/, where Vite writes, also eight characters with a small and a capital letter and a digit.
-define(IMMUTABLE,
        "[._-](?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}(\\.chunk|\\.min|\\.bundle)?\\.[A-Za-z0-9]+(\\.map)?$"
        "|^/assets/.*-(?=[\\w-]*[0-9])(?=[\\w-]*[A-Z])(?=[\\w-]*[a-z])[\\w-]{8}\\.(m?js|css|wasm|woff2?)(\\.map)?$").

%% In the order of the documentation.
options() ->
    [{cache_control, text, <<"no-cache">>}, {immutable, text, list_to_binary(?IMMUTABLE)}, {fallback, text, <<>>},
     {fallthrough, {auto, boolean}, auto}, {index, text, <<"index.html">>}, {precompressed, boolean, true}, {well_known, boolean, false}].

-spec with_defaults(options()) -> options().
with_defaults(Given) -> maps:merge(maps:from_list([{Key, Default} || {Key, _, Default} <- options()]), Given).

-spec check(term()) -> {ok, static()} | hornbeam_option_types:problem().
check({Prefix, {Folder, Given}}) -> check({Prefix, Folder, Given});
check({Prefix, Given}) when is_map(Given) -> check({Prefix, maps:get(folder, Given, <<>>), maps:remove(folder, Given)});
check({Prefix, Folder}) -> check({Prefix, Folder, #{}});
check({Prefix, Folder, Given}) when is_map(Given) -> check({Prefix, Folder, maps:to_list(Given)});
check({Prefix0, Folder, Given}) when is_list(Given) ->
    case {prefix(Prefix0), hornbeam_option_types:check(directory, Folder)} of
        {{ok, Prefix}, {ok, Path}} -> with_given(Prefix, Path, Given, #{});
        {error, _} -> {error, "has a prefix that must be a path, such as \"/assets\"", Prefix0};
        {_, {error, Text, Culprit}} -> {error, ["has a folder that ", Text], Culprit}
    end;
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} -> check_text(Text, Given);
        _ -> wrong(Given)
    end.

check_text(Text, Given) ->
    case hornbeam_option_text:entry(Text) of
        {ok, Prefix, Folder, Options} ->
            case [Pair || {_, _} = Pair <- Options] of
                Options -> check({Prefix, Folder, [parsed(Name, Value) || {Name, Value} <- Options]});
                _ -> wrong(Given)
            end;
        error ->
            wrong(Given)
    end.

%% "/assets" = "dist", or a table with the folder and its options.
-spec from_entry(binary(), term(), term()) -> {term(), term(), [{term(), term()}]}.
from_entry(Prefix, Table, _Read) when is_map(Table) -> {Prefix, maps:get(<<"folder">>, Table, <<>>), maps:to_list(maps:remove(<<"folder">>, Table))};
from_entry(Prefix, Folder, _Read) when is_binary(Folder) -> {Prefix, Folder, []};
from_entry(Prefix, _Other, _Read) -> {Prefix, <<>>, []}.

-spec from_table(#{binary() => term()}, term()) -> {term(), term(), [{term(), term()}]}.
from_table(Table, Read) -> from_entry(maps:get(key(), Table, <<>>), maps:remove(key(), Table), Read).

-spec key() -> binary().
key() -> <<"prefix">>.

%% What is said of a folder may hold commas; the next one begins with a slash.
-spec split(string()) -> [string()].
split(Text) -> [string:trim(Item) || Item <- re:split(Text, ",(?=\\s*/)", [{return, list}, unicode])].

%% No atom is made of a name.
parsed(Name, Value) ->
    case named(Name) of
        {Key, Type, _} -> {Key, hornbeam_option_types:parse(Type, [unicode:characters_to_list(Value)])};
        false -> {Name, Value}
    end.

named(Name) ->
    Key = binary:replace(Name, <<"-">>, <<"_">>, [global]),
    case [Option || {Known, _, _} = Option <- options(), atom_to_binary(Known) =:= Key] of
        [Option] -> Option;
        [] -> false
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

prefix(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, <<"/", _/binary>> = Text} ->
            Prefix = <<"/", (string:trim(Text, both, "/"))/binary>>,
            case re:run(Prefix, "^(/|(/[^/?#\\s[:cntrl:]]+)+)$", [unicode, dollar_endonly]) of
                {match, _} -> {ok, Prefix};
                nomatch -> error
            end;
        _ -> error
    end.

with_given(Prefix, Folder, [{Name, Value} | Rest], Done) ->
    Option = case is_binary(Name) of true -> named(Name); false -> lists:keyfind(Name, 1, options()) end,
    case Option =/= false andalso value(Option, Value) of
        false ->
            Names = [atom_to_list(Key) || {Key, _, _} <- options()],
            {error, ["in ", Prefix, ": ", hornbeam_option_text:show(Name), " is not an option of a folder; these are: ", lists:join(", ", Names)]};
        {ok, Checked} -> with_given(Prefix, Folder, Rest, Done#{element(1, Option) => Checked});
        {error, Text} -> {error, ["in ", Prefix, ": ", atom_to_list(element(1, Option)), " ", Text]}
    end;
with_given(Prefix, Folder, [], Done) ->
    {ok, {Prefix, Folder, Done}};
with_given(_Prefix, _Folder, [Wrong | _], _Done) ->
    wrong(Wrong).

value({Key, Type, _}, Given) ->
    case hornbeam_option_types:check(Type, Given) of
        {ok, Value} -> own(Key, Value);
        {error, Text, _} -> {error, Text};
        {error, Text} -> {error, Text}
    end.

own(cache_control, Value) -> matching(Value, "^[^[:cntrl:]]*$", "must have no control characters");
own(immutable, Value) ->
    case re:compile(Value) of
        {ok, _} -> {ok, Value};
        {error, {Text, _}} -> {error, ["is not a regular expression: ", Text]}
    end;
own(index, Value) -> matching(Value, "^([^/.\\\\[:cntrl:]][^/\\\\[:cntrl:]]*)?$", "must be the name of a file");
own(fallback, Value) -> matching(Value, "^([^/.\\\\[:cntrl:]][^/\\\\[:cntrl:]]*(/[^/.\\\\[:cntrl:]][^/\\\\[:cntrl:]]*)*)?$",
                                 "must be the path of a file below the folder");
own(_Key, Value) -> {ok, Value}.

matching(Value, Pattern, Otherwise) ->
    case re:run(Value, Pattern, [unicode, dollar_endonly]) of
        {match, _} -> {ok, Value};
        nomatch -> {error, Otherwise}
    end.

-spec anchor(static(), binary()) -> {ok, static()} | hornbeam_option_types:problem().
anchor({Prefix, Folder, Options}, Base) ->
    case hornbeam_option_types:anchor(directory, Folder, Base) of
        {ok, Path} -> {ok, {Prefix, Path, Options}};
        {error, Text} -> {error, Text}
    end.

-spec format(static()) -> hornbeam_option_toml:value().
format({Prefix, Folder, Options}) ->
    Given = [{atom_to_binary(Key), hornbeam_option_types:format(Type, maps:get(Key, Options))} || {Key, Type, _} <- options(), is_map_key(Key, Options)],
    {table, [{<<"prefix">>, Prefix}, {<<"folder">>, Folder} | Given]}.

-spec describe() -> iodata().
describe() -> "{Prefix, Folder}, {Prefix, Folder, Options} or \"PREFIX=FOLDER[;OPTION=VALUE]...\"".

%% The check of the whole list.
-spec different_prefixes([static()]) -> ok | {error, iodata()}.
different_prefixes(Static) ->
    Prefixes = [Prefix || {Prefix, _, _} <- Static],
    case Prefixes -- lists:usort(Prefixes) of
        [] -> ok;
        [Twice | _] -> {error, ["has two folders at ", hornbeam_option_text:show(Twice)]}
    end.
