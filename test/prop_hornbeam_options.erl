%%% Properties of the options: whatever is given, validation answers, and what it accepts it accepts again unchanged.
%%% Run by properties_tests.
-module(prop_hornbeam_options).

-include_lib("proper/include/proper.hrl").

-export([prop_validate_answers/0, prop_flags_answer/0, prop_settings_answer/0]).

-spec prop_validate_answers() -> proper:test().
prop_validate_answers() ->
    ?FORALL(Given, given(),
        case hornbeam_options:validate(Given) of
            {ok, Options} ->
                hornbeam_options:validate(Options) =:= {ok, Options} andalso is_map(hornbeam_options:mask(Options));
            {error, {bad_option, _, Text} = Reason} ->
                is_binary(Text) andalso is_text(hornbeam_options:format_error(Reason))
        end).

-spec prop_flags_answer() -> proper:test().
prop_flags_answer() ->
    ?FORALL(Args, list(oneof([flag(), ["--", flag(), "=", string()], string(), "--", "4"])),
        case hornbeam_options:from_args([lists:flatten(Arg) || Arg <- Args]) of
            {ok, Positional, Given} -> is_list(Positional) andalso is_map(Given);
            {error, Reason} -> is_text(hornbeam_options:format_error(Reason))
        end).

%% Whatever a file says is refused, or is valid where it stands.
-spec prop_settings_answer() -> proper:test().
prop_settings_answer() ->
    ?FORALL(Settings, list({setting(), toml(3)}),
        case hornbeam_options:from_file(Settings, "hornbeam.toml") of
            {ok, Given} -> map_size(Given) =:= length(Settings);
            {error, {bad_option, _, Text} = Reason} ->
                string:find(Text, " (hornbeam.toml)") =:= <<" (hornbeam.toml)">> andalso is_text(hornbeam_options:format_error(Reason))
        end).

setting() ->
    frequency([{20, ?LET(Key, oneof(hornbeam_options:keys()), atom_to_binary(Key))}, {1, utf8()}]).

toml(0) -> oneof([integer(), boolean(), float(), utf8(), <<"infinity">>, <<"auto">>, <<"/a">>, <<"a:b">>, <<"A=B">>, <<"::1">>]);
toml(Depth) ->
    Names = oneof([utf8(), setting(), <<"prefix">>, <<"app">>]),
    frequency([{4, toml(0)}, {1, list(toml(Depth - 1))}, {1, mapping(Names, toml(Depth - 1))}]).

is_text(Chardata) -> is_binary(unicode:characters_to_binary(Chardata)).

given() ->
    oneof([mapping(key(), value()), list({key(), value()}), any()]).

%% Mostly options that exist: an unknown one ends the validation before any value is looked at.
key() ->
    frequency([{20, oneof(hornbeam_options:keys())}, {1, any()}]).

value() ->
    ?LAZY(oneof([any(), integer(), infinity, true, string(), binary(), list(string()), mount(), list(mount()),
                 bind(), list(bind()), mapping(string(), string()), {string(), any()}, [$a | $b],
                 oneof(["/", ".", "on", "auto", "a:b", "unix:", "fd://9", "[::1]:80", ":0", "/a=b:c;workers=2",
                        "A=B"])])).

mount() ->
    oneof([{"/a", "a:b", oneof([mapping(key(), any()), list({key(), any()}), any()])},
           {any(), any()}, {any(), any(), any()}, {any(), any(), any(), any()}]).

bind() ->
    oneof([{tcp, any(), any(), any()}, {tcp, {127, 0, 0, 1}, integer(), binary()}, {unix, any()}, {unix, binary()},
           {fd, any()}, {fd, integer()}]).

flag() ->
    ?LET(Key, oneof(hornbeam_options:keys()), "--" ++ lists:flatten(string:replace(atom_to_list(Key), "_", "-", all))).

mapping(Key, Value) ->
    ?LET(Pairs, list({Key, Value}), maps:from_list(Pairs)).
